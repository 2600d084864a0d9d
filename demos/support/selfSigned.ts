import 'reflect-metadata';
import { KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** A certificate in PEM that is signed by its own key, which exists in memory only. */
export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
  /** The SHA-256 of the certificate, by which a client can recognise it. */
  readonly fingerprint256: string;
}

const DAY = 86_400_000;
/** How long it is valid, in days. */
const VALID = 30;

/**
 * Makes a new key, and a certificate for it.
 *
 * @param hosts The names and IP addresses that it is valid for.
 */
export async function selfSigned(hosts: readonly string[]): Promise<SelfSigned> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    // The first bit is 0, because a serial number is positive.
    serialNumber: `4a${randomBytes(15).toString('hex')}`,
    name: 'CN=Sluice demo',
    // An hour ago, because the clock of a client may be behind.
    notBefore: new Date(now - DAY / 24),
    notAfter: new Date(now + VALID * DAY),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        hosts.map((host) => ({ type: isIP(host) === 0 ? 'dns' : 'ip', value: host })),
      ),
    ],
  });
  const cert = certificate.toString('pem');
  return {
    cert,
    key: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
    fingerprint256: new X509Certificate(cert).fingerprint256,
  };
}
