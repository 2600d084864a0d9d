import { isIP } from 'node:net';
import type { TlsOptions } from 'node:tls';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import { firstValueFrom, map, type Observable } from 'rxjs';
import { CertificateError, certificates } from '../../lib/index.ts';
import { numberOption } from './program.ts';
import { codeOf, reason } from './reason.ts';

/** How clients reach the port: over TLS, and through proxies; and where its operator does. {@link portOptions} adds these to a demo's command line. */
export interface PortOptions {
  tlsCert?: string;
  tlsKey?: string;
  tlsCa?: string;
  tlsSelfSigned?: boolean;
  proxyFrom?: readonly string[];
  admin?: number;
}

/** The same as options of `serve`. */
export interface PortSettings {
  readonly tls?: TlsOptions | Observable<TlsOptions>;
  readonly proxy?: { readonly trusted: readonly string[]; readonly mode: 'required' };
}

/** Adds the options to a command line. They are groups of their own: call it after all others. */
export function portOptions(command: Command): Command {
  const add = (from: string, before: readonly string[] = []) => [...before, from];
  command
    .optionsGroup('TLS, and proxies in front:')
    .option('--tls-cert <file>', 'serve TLS with this certificate and its chain, in PEM; it is read again when renewed')
    .option('--tls-key <file>', 'the key of the certificate, in PEM')
    .option('--tls-ca <file>', 'clients must have a certificate of one of these authorities, in PEM')
    .option('--tls-self-signed', 'serve TLS with a new certificate that no client trusts, for tries')
    .option('--proxy-from <cidr>', 'accept only proxies that send the PROXY protocol; can be repeated', add)
    .optionsGroup('For its operator:');
  return numberOption(command, '--admin <port>', 'live page, probes and metrics at this port, 0 for any', {
    min: 0,
    max: 65_535,
  });
}

/** What {@link portSettings} needs of a demo. */
export interface Reporting {
  /** Ends the demo with a sentence. */
  readonly fail: (sentence: string) => never;
  readonly log: Logger;
}

/**
 * Converts them to the library's options, and checks the files. With `--tls-self-signed` it makes a certificate, and logs its
 * fingerprint.
 *
 * @param hosts The addresses that the demo listens on, which the self-signed certificate is valid for, beside this machine's own.
 */
export async function portSettings(
  { tlsCert: cert, tlsKey: key, tlsCa: ca, tlsSelfSigned = false, proxyFrom = [] }: PortOptions,
  hosts: readonly string[],
  { fail, log }: Reporting,
): Promise<PortSettings> {
  const trusted = proxyFrom.map(
    (text) => subnet(text) ?? fail(`--proxy-from must be addresses such as 10.0.0.0/8 or ::1, and not '${text}'`),
  );
  const proxy = trusted.length === 0 ? {} : { proxy: { trusted, mode: 'required' as const } };
  if (tlsSelfSigned) {
    if (cert !== undefined || key !== undefined || ca !== undefined) {
      fail('--tls-self-signed cannot be combined with --tls-cert, --tls-key or --tls-ca');
    }
    return { ...proxy, tls: await ownCertificate(hosts, log) };
  }
  if (cert === undefined && key === undefined && ca === undefined) return proxy;
  if (cert === undefined || key === undefined) return fail('--tls-cert and --tls-key must be given together');
  if (cert === '' || key === '' || ca === '') return fail('--tls-cert, --tls-key and --tls-ca must name files');
  const files = certificates({ cert, key, ...(ca === undefined ? {} : { ca }) });
  try {
    await firstValueFrom(files);
  } catch (error) {
    fail(unusable(error));
  }
  return { ...proxy, tls: ca === undefined ? files : files.pipe(map((one) => ({ ...one, requestCert: true }))) };
}

/** An address alone is the subnet of one address; `unix` stands for all peers of a unix socket. @returns `undefined` for all else. */
export function subnet(text: string): string | undefined {
  if (text === 'unix') return text;
  const [, address = '', digits] = /^([\d.]+|[\da-f:.]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? [];
  const version = isIP(address);
  const longest = version === 4 ? 32 : 128;
  const prefix = digits === undefined ? longest : Number(digits);
  return version !== 0 && prefix <= longest ? `${address}/${prefix}` : undefined;
}

function unusable(error: unknown): string {
  if (!(error instanceof CertificateError)) return `cannot use the certificate: ${reason(error)}`;
  const { cause, path, message } = error;
  // The sentence of a Node error repeats the path.
  const isKnown = cause instanceof Error && 'syscall' in cause && codeOf(cause) !== undefined;
  return isKnown ? `cannot use ${path}: ${reason(cause)}` : message.replace(/^C/, 'c');
}

async function ownCertificate(hosts: readonly string[], log: Logger): Promise<TlsOptions> {
  // Imported here, so that a demo without it starts faster.
  const { selfSigned } = await import('./selfSigned.ts');
  const names = new Set([
    'localhost',
    '127.0.0.1',
    '::1',
    ...hosts.filter((host) => !WILDCARDS.includes(host)).map(withoutZone),
  ]);
  const { cert, key, fingerprint256 } = await selfSigned([...names]);
  log.warn(
    { type: 'selfSigned', fingerprint256, hosts: [...names] },
    `for tries only: no client trusts this self-signed certificate, with the SHA-256 fingerprint ${fingerprint256}`,
  );
  return { cert, key };
}

/** Addresses to listen on that are not addresses to connect to. */
const WILDCARDS = ['0.0.0.0', '::', ''];

/** A certificate has no place for the interface of a link-local address, as in `fe80::1%eth0`. */
const withoutZone = (host: string): string => host.replace(/%.*$/, '');
