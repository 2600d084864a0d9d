import type { X509Certificate } from 'node:crypto';
import { isIPv6, SocketAddress } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { certificatesIn } from './pem.ts';

/** What a certificate says about itself. */
export interface CertificateInfo {
  /** The names and IP addresses that it is valid for, as in its subject alternative name; a name may begin with `*.`. */
  readonly hosts: readonly string[];
  /** Such as `C=DE, O=Example, CN=example.org`. */
  readonly subject: string;
  /** The name of the authority, as `subject` is written. */
  readonly issuer: string;
  /** In hexadecimal digits. */
  readonly serialNumber: string;
  /** The SHA-256 of the certificate: pairs of hexadecimal digits, with colons between them. */
  readonly fingerprint256: string;
  /** In milliseconds since 1970. */
  readonly validFrom: number;
  /** In milliseconds since 1970. */
  readonly validTo: number;
}

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
