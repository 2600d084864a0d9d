import { X509Certificate } from 'node:crypto';

/** A block of PEM; the last one may have no end. OpenSSL, and so Node, knows certificates under three labels. */
const BLOCK = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----(?:[^-]*-----END \1-----)?/g;

/**
 * The certificates of a PEM text, in its order. Everything else in it, such as a private key, is skipped.
 *
 * @throws Error if a certificate is invalid, or has no end.
 */
export function certificatesIn(pem: string | Uint8Array): X509Certificate[] {
  const text =
    typeof pem === 'string' ? pem : Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength).toString('latin1');
  return [...text.matchAll(BLOCK)].map(([block]) => new X509Certificate(block));
}
