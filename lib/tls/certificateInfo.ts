import type { X509Certificate } from 'node:crypto';
import { isIPv6, SocketAddress } from 'node:net';
import type { TlsOptions } from 'node:tls';
import type { CertificateInfo } from '../events.ts';
import { certificatesIn } from './pem.ts';

/**
 * Describes the certificates that a server shows: of each chain in `cert`, the first certificate. A `pfx` is not described,
 * because Node cannot read certificates from it.
 *
 * @param options Options for TLS, which may be invalid: a `cert` that cannot be read is left out.
 */
export function certificateInfo({ cert = [] }: Pick<TlsOptions, 'cert'>): CertificateInfo[] {
  return [cert].flat().flatMap((chain) => {
    try {
      return certificatesIn(chain).slice(0, 1).map(infoOf);
    } catch {
      return [];
    }
  });
}

function infoOf(certificate: X509Certificate): CertificateInfo {
  const { subject, issuer, serialNumber, fingerprint256, validFrom, validTo, subjectAltName } = certificate;
  return {
    hosts: hostsOf(subjectAltName),
    subject: oneLine(subject),
    issuer: oneLine(issuer),
    serialNumber,
    fingerprint256,
    validFrom: Date.parse(validFrom),
    validTo: Date.parse(validTo),
  };
}

/** Node has an attribute of a name on each line, and escapes a line feed within one. A name without attributes is `undefined`. */
const oneLine = (name: string | undefined): string => (name ?? '').replaceAll('\n', ', ');

/** A value with special characters is a JSON string. Without the quotes, a name with a comma could claim to be another name. */
const ENTRY = /(?:^|, )(DNS|IP Address):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/g;

function hostsOf(subjectAltName = ''): string[] {
  return [...subjectAltName.matchAll(ENTRY)].map(([, kind, value = '']) => {
    const host = value.startsWith('"') ? String(JSON.parse(value)) : value;
    // Node writes all eight groups, and `::1` as 0:0:0:0:0:0:0:1.
    return kind === 'DNS' || !isIPv6(host) ? host : new SocketAddress({ address: host, family: 'ipv6' }).address;
  });
}
