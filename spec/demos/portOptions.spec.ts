import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { stripVTControlCharacters } from 'node:util';
import { firstValueFrom, isObservable } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  logger,
  type PortOptions,
  type PortSettings,
  portOptions,
  portSettings,
  program,
  type ServerLimits,
  type StatusLine,
  serverLimits,
  serverOptions,
} from '../../demos/support/index.ts';
import { type Authority, authority, EXPIRED, type Issued } from '../support/certificates.ts';

let folder: string;
let root: Authority;
let pair: Issued;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-port-'));
  root = await authority();
  pair = await root.issue();
  const files = {
    'cert.pem': pair.cert,
    'key.pem': pair.key,
    'other.pem': (await root.issue()).key,
    'ca.pem': root.ca,
    'garbage.pem': 'garbage',
  };
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)));
});

afterAll(() => rm(folder, { recursive: true }));

/**
 * Reads a command line, in which the words that end in `.pem` are files of the folder.
 *
 * @returns The settings, or the sentence that the demo ends with; and its log lines.
 */
async function settings(
  line: string,
  hosts = ['127.0.0.1'],
): Promise<{ result: PortSettings | string; log: object[] }> {
  const args = line.split(' ').filter(Boolean);
  const command = portOptions(program('demo', 'Shows something.')).exitOverride();
  let printed = '';
  command.configureOutput({ writeErr: (text) => (printed += text) });
  const log: object[] = [];
  const status: StatusLine = { live: false, show() {}, clear() {}, print: (text) => log.push(JSON.parse(text)) };
  try {
    const given = command
      .parse(
        args.map((word) => (word.endsWith('.pem') ? join(folder, word) : word)),
        { from: 'user' },
      )
      .opts<PortOptions>();
    const reporting = { fail: (sentence: string) => command.error(sentence), log: logger({ status }) };
    return { result: await portSettings(given, hosts, reporting), log };
  } catch (error) {
    if (printed === '') throw error;
    return { result: stripVTControlCharacters(printed).replaceAll(`${folder}/`, ''), log };
  }
}

describe('the options of a port', () => {
  it('are none unless they are given', async () => {
    expect(await settings('')).toEqual({ result: {}, log: [] });
  });

  it('make TLS of a certificate and its key, which are watched', async () => {
    const { result } = await settings('--tls-cert cert.pem --tls-key key.pem');
    const { tls } = result as PortSettings;
    expect(Object.keys(result)).toEqual(['tls']);
    expect(await firstOf(tls)).toEqual({ cert: Buffer.from(pair.cert), key: Buffer.from(pair.key) });
  });

  it('require certificates of clients, where their authorities are given', async () => {
    const { result } = await settings('--tls-cert cert.pem --tls-key key.pem --tls-ca ca.pem');
    expect(await firstOf((result as PortSettings).tls)).toEqual({
      cert: Buffer.from(pair.cert),
      key: Buffer.from(pair.key),
      ca: Buffer.from(root.ca),
      requestCert: true,
    });
  });

  it('make a self-signed certificate for this machine and the host, and log its fingerprint with a warning', async () => {
    const hosts = ['0.0.0.0', '::', '192.0.2.7', 'fe80::1%eth0', 'my.test', 'localhost'];
    const { result, log } = await settings('--tls-self-signed', hosts);
    const tls = (result as PortSettings).tls as TlsOptions;
    const certificate = new X509Certificate(String(tls.cert));
    const names = ['localhost', '127.0.0.1', '::1', '192.0.2.7', 'fe80::1', 'my.test'];
    expect(names.filter((name) => certificate.checkHost(name) ?? certificate.checkIP(name))).toEqual(names);
    expect(certificate.subjectAltName?.split(', ')).toHaveLength(names.length);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(() => createSecureContext(tls)).not.toThrow();
    const { fingerprint256 } = certificate;
    expect(log).toEqual([
      expect.objectContaining({ level: 40, type: 'selfSigned', fingerprint256, hosts: names, msg: expect.any(String) }),
    ]);
    expect(log[0]).toMatchObject({ msg: expect.stringContaining(fingerprint256) });
    expect(log[0]).toMatchObject({ msg: expect.stringContaining('for tries only') });
  });

  it('make another certificate each time', async () => {
    const both = await Promise.all([settings('--tls-self-signed'), settings('--tls-self-signed')]);
    const [one, two] = both.map(({ result }) => (result as PortSettings).tls as TlsOptions);
    expect(one?.key).not.toBe(two?.key);
  });

  it('trust proxies in subnets, and require their header', async () => {
    const { result } = await settings(
      '--proxy-from 10.0.0.0/8 --proxy-from ::1 --proxy-from 192.0.2.1 --proxy-from unix',
    );
    expect(result).toEqual({ proxy: { trusted: ['10.0.0.0/8', '::1/128', '192.0.2.1/32', 'unix'], mode: 'required' } });
  });

  it('combine TLS and proxies', async () => {
    for (const line of ['--tls-self-signed', '--tls-cert cert.pem --tls-key key.pem']) {
      const { result } = await settings(`${line} --proxy-from 0.0.0.0/0`);
      expect(result).toEqual({ tls: expect.anything(), proxy: { trusted: ['0.0.0.0/0'], mode: 'required' } });
    }
  });

  it('serve a certificate that has expired, because the server reports that', async () => {
    const { cert, key } = await root.issue(EXPIRED);
    await writeFile(join(folder, 'expired.pem'), cert + key);
    const { result } = await settings('--tls-cert expired.pem --tls-key expired.pem');
    expect(result).toEqual({ tls: expect.anything() });
  });

  it.each([
    ['--tls-cert cert.pem', '--tls-cert and --tls-key must be given together'],
    ['--tls-key key.pem', '--tls-cert and --tls-key must be given together'],
    ['--tls-ca ca.pem', '--tls-cert and --tls-key must be given together'],
    ['--tls-cert= --tls-key key.pem', '--tls-cert, --tls-key and --tls-ca must name files'],
    [
      '--tls-self-signed --tls-cert cert.pem --tls-key key.pem',
      '--tls-self-signed cannot be combined with --tls-cert, --tls-key or --tls-ca',
    ],
    [
      '--tls-self-signed --tls-ca ca.pem',
      '--tls-self-signed cannot be combined with --tls-cert, --tls-key or --tls-ca',
    ],
    ['--tls-cert none.pem --tls-key key.pem', 'cannot use none.pem: there is no such file or folder (ENOENT)'],
    [
      '--tls-cert cert.pem --tls-key key.pem --tls-ca none.pem',
      'cannot use none.pem: there is no such file or folder (ENOENT)',
    ],
    ['--tls-cert cert.pem --tls-key .pem', 'cannot use .pem: there is no such file or folder (ENOENT)'],
    ['--tls-cert / --tls-key key.pem', 'cannot use /: that is a folder (EISDIR)'],
    ['--tls-cert cert.pem --tls-key other.pem', 'cannot use other.pem: it is not the key of cert.pem'],
    ['--tls-cert garbage.pem --tls-key key.pem', 'cannot use garbage.pem: it has no certificate in PEM'],
    ['--proxy-from', "option '--proxy-from <cidr>' argument missing"],
    ...['10.0.0.0/33', '10.0.0/8', '::/129', '::1/', 'localhost', '10.0.0.0/8,::1', '1.2.3.4/-1'].map((text) => [
      `--proxy-from ${text}`,
      `--proxy-from must be addresses such as 10.0.0.0/8 or ::1, and not '${text}'`,
    ]),
  ])('end the demo with a sentence if they cannot be: %s', async (line, sentence) => {
    expect((await settings(line)).result).toBe(`demo: ${sentence}\n`);
  });

  it('are no limits of the server', () => {
    const parse = (...args: string[]) =>
      serverLimits(
        portOptions(serverOptions(program('x', '')))
          .parse(args, { from: 'user' })
          .opts<ServerLimits>(),
      );
    expect(parse('--tls-self-signed', '--tls-cert=a', '--tls-key=b', '--tls-ca=c', '--proxy-from=::1')).toEqual(
      parse(),
    );
  });
});

const firstOf = (tls: PortSettings['tls']): unknown => (isObservable(tls) ? firstValueFrom(tls) : tls);
