import 'reflect-metadata';
import { createPrivateKey, KeyObject, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** The kind of a key. RSA keys take a tenth of a second to make, so there are few of them, which are used in turn. */
export type KeyType = 'ecdsa' | 'rsa';

/** A certificate and its private key, as `node:tls` takes them. */
export interface Issued {
  /** PEM: the certificate, and the certificates of the intermediate authorities above it. */
  readonly cert: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

interface Validity {
  /** @default an hour ago */
  readonly notBefore?: Date;
  /** @default in 30 days */
  readonly notAfter?: Date;
}

export interface AuthorityOptions extends Validity {
  /** The common name. @default 'Sluice test authority' */
  readonly name?: string;
  /** @default 'ecdsa' */
  readonly type?: KeyType;
}

export interface CertificateOptions extends Validity {
  /** Names and IP addresses: the subject's alternative names. @default ['localhost', '127.0.0.1', '::1'] */
  readonly hosts?: readonly string[];
  /** The common name. @default the first host */
  readonly name?: string;
  /** @default 'ecdsa' */
  readonly type?: KeyType;
  /** The purpose. @default 'server' */
  readonly usage?: 'server' | 'client';
  /** Encrypts the key. @default none */
  readonly passphrase?: string;
  /** Whether `cert` contains the intermediate authorities. @default true */
  readonly chain?: boolean;
}

/** A validity that is over, and one that has not begun. */
export const EXPIRED: Validity = { notBefore: inDays(-3), notAfter: inDays(-1) };
export const NOT_YET_VALID: Validity = { notBefore: inDays(1), notAfter: inDays(3) };

/** An authority that issues certificates, and makes intermediate authorities. */
export interface Authority {
  /** PEM of the root certificate: what a peer trusts, as `ca`. */
  readonly ca: string;
  /** PEM of its own certificate; that of a root is `ca`. */
  readonly cert: string;
  issue(options?: CertificateOptions): Promise<Issued>;
  /** An authority below this one. */
  intermediate(options?: AuthorityOptions): Promise<Authority>;
}

/** Makes a root authority. */
export async function authority(options: AuthorityOptions = {}): Promise<Authority> {
  const { name = 'Sluice test authority', type = 'ecdsa' } = options;
  const keys = await keyPair(type);
  const root = await certify(name, keys, options, ofAuthority());
  return new Issuer(root, keys, pem(root), '');
}

/** Makes a certificate that is signed by its own key, and that no authority knows. */
export async function selfSigned(options: CertificateOptions = {}): Promise<Issued> {
  const keys = await keyPair(options.type);
  const cert = await certify(nameOf(options), keys, options, ofLeaf(options));
  return { cert: pem(cert), key: privateKey(keys, options) };
}

class Issuer implements Authority {
  readonly ca: string;
  readonly cert: string;
  readonly #certificate: X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;
  /** PEM of the intermediate authorities, from this one up. */
  readonly #chain: string;

  constructor(certificate: X509Certificate, keys: webcrypto.CryptoKeyPair, ca: string, chain: string) {
    this.#certificate = certificate;
    this.#keys = keys;
    this.ca = ca;
    this.cert = pem(certificate);
    this.#chain = chain;
  }

  async issue(options: CertificateOptions = {}): Promise<Issued> {
    const keys = await keyPair(options.type);
    const cert = await certify(nameOf(options), keys, options, ofLeaf(options), this.#signer());
    return { cert: pem(cert) + (options.chain === false ? '' : this.#chain), key: privateKey(keys, options) };
  }

  async intermediate(options: AuthorityOptions = {}): Promise<Authority> {
    const { name = 'Sluice intermediate authority', type } = options;
    const keys = await keyPair(type);
    const certificate = await certify(name, keys, options, ofAuthority(), this.#signer());
    return new Issuer(certificate, keys, this.ca, pem(certificate) + this.#chain);
  }

  #signer() {
    return { issuer: this.#certificate.subject, key: this.#keys.privateKey };
  }
}

function certify(
  name: string,
  keys: webcrypto.CryptoKeyPair,
  { notBefore = inDays(-1 / 24), notAfter = inDays(30) }: Validity,
  extensions: Extension[],
  { issuer, key } = { issuer: commonName(name), key: keys.privateKey },
): Promise<X509Certificate> {
  return X509CertificateGenerator.create({
    // The first bit is 0, because a serial number is positive.
    serialNumber: `4a${randomBytes(15).toString('hex')}`,
    subject: commonName(name),
    issuer,
    notBefore,
    notAfter,
    publicKey: keys.publicKey,
    signingKey: key,
    signingAlgorithm: { name: key.algorithm.name, hash: 'SHA-256' },
    extensions,
  });
}

const nameOf = ({ name, hosts = HOSTS }: CertificateOptions): string => name ?? hosts[0] ?? 'nameless';

/** As text, a name would have to be escaped. */
const commonName = (name: string): string => `CN="${name.replace(/["\\]/g, '\\$&')}"`;

const ofAuthority = (): Extension[] => [
  new BasicConstraintsExtension(true, undefined, true),
  new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
];

const HOSTS = ['localhost', '127.0.0.1', '::1'];

const ofLeaf = ({ hosts = HOSTS, usage = 'server' }: CertificateOptions): Extension[] => [
  new BasicConstraintsExtension(false, undefined, true),
  new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
  new ExtendedKeyUsageExtension([usage === 'server' ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth]),
  ...(hosts.length === 0
    ? []
    : [
        new SubjectAlternativeNameExtension(
          hosts.map((host) => ({ type: isIP(host) === 0 ? ('dns' as const) : ('ip' as const), value: host })),
        ),
      ]),
];

const pem = (certificate: X509Certificate): string => `${certificate.toString('pem').trim()}\n`;

function privateKey({ privateKey: key }: webcrypto.CryptoKeyPair, { passphrase }: CertificateOptions): string {
  // The types of the two kinds of key differ between releases of Node's types.
  const plain = KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' });
  if (passphrase === undefined) return plain.toString();
  const encrypted = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase } as const;
  return createPrivateKey(plain).export(encrypted).toString();
}

/** How many RSA keys there are. So any three certificates that are made in a row have different ones. */
const RSA_KEYS = 3;

/** Spec files share a process, and each loads this module anew. */
const KEYS = Symbol.for('sluice.rsaKeys');
const shared = globalThis as { [KEYS]?: { next: number; keys: Promise<webcrypto.CryptoKeyPair>[] } };

function keyPair(type: KeyType = 'ecdsa'): Promise<webcrypto.CryptoKeyPair> {
  if (type === 'ecdsa') return generate({ name: 'ECDSA', namedCurve: 'P-256' });
  shared[KEYS] ??= { next: 0, keys: [] };
  const pool = shared[KEYS];
  const index = pool.next++ % RSA_KEYS;
  pool.keys[index] ??= generate({
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  });
  return pool.keys[index];
}

const generate = (algorithm: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams) =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;

/** A moment so many days from now. */
export function inDays(days: number): Date {
  return new Date(Date.now() + days * 86_400_000);
}
