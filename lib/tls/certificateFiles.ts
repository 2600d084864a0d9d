import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CertificateError } from '../errors.ts';
import { certificatesIn } from './pem.ts';

/** A file as it was read, or why it could not be read. */
interface ReadFile {
  readonly path: string;
  readonly contents: Buffer | CertificateError;
}

/** All files, which are read at slightly different times. So one may already have been replaced, and another not yet. */
export interface Reading {
  readonly cert: readonly ReadFile[];
  readonly key: readonly ReadFile[];
  readonly ca: readonly ReadFile[];
}

/** The paths of all files, each list in the order of its files. */
export type Paths = { readonly [K in keyof Reading]: readonly string[] };

/** Reads all files. It never fails: a file that cannot be read is an error in the reading. */
export async function readFiles(paths: Paths): Promise<Reading> {
  const [cert, key, ca] = await Promise.all([readEach(paths.cert), readEach(paths.key), readEach(paths.ca)]);
  return { cert, key, ca };
}

const readEach = (paths: readonly string[]): Promise<ReadFile[]> =>
  Promise.all(
    paths.map(async (path) => {
      const contents = await readFile(path).catch(
        (error) => new CertificateError(path, error.message, { cause: error }),
      );
      return { path, contents };
    }),
  );

/** Whether two readings of the same files have the same contents, and the same errors. */
export function areSame(one: Reading, other: Reading): boolean {
  const before = allOf(other);
  return allOf(one).every(({ contents }, i) => {
    const old = before[i]?.contents;
    if (Buffer.isBuffer(contents)) return Buffer.isBuffer(old) && contents.equals(old);
    return !Buffer.isBuffer(old) && contents.message === old?.message;
  });
}

const allOf = ({ cert, key, ca }: Reading): ReadFile[] => [...cert, ...key, ...ca];

/**
 * Checks that every file is valid, and that each key belongs to its certificate.
 *
 * @returns What is wrong first, or `undefined`.
 */
export function faultOf({ cert, key, ca }: Reading, passphrase: string | undefined): CertificateError | undefined {
  try {
    const chains = cert.map(certificatesOf);
    const keys = key.map((file) => keyOf(file, passphrase));
    ca.forEach(certificatesOf);
    const strange = keys.findIndex((one, i) => !chains[i]?.[0]?.checkPrivateKey(one));
    if (strange === -1) return undefined;
    return new CertificateError(key[strange]?.path ?? '', `it is not the key of ${cert[strange]?.path}`);
  } catch (error) {
    return error as CertificateError;
  }
}

function certificatesOf(file: ReadFile): X509Certificate[] {
  const found = parse(file, 'a certificate in it is invalid', certificatesIn);
  if (found.length === 0) throw new CertificateError(file.path, 'it has no certificate in PEM');
  return found;
}

function keyOf(file: ReadFile, passphrase: string | undefined): KeyObject {
  return parse(file, 'it has no private key that can be read', (key) => {
    if (passphrase !== undefined) return createPrivateKey({ key, passphrase });
    // OpenSSL would say that it was interrupted.
    if (ENCRYPTED.test(key.toString('latin1'))) throw new Error('it is encrypted, and no passphrase was given');
    return createPrivateKey(key);
  });
}

const ENCRYPTED = /^(-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED)/m;

/** @throws CertificateError if the file could not be read, or `work` throws. */
function parse<T>({ path, contents }: ReadFile, wrong: string, work: (contents: Buffer) => T): T {
  if (!Buffer.isBuffer(contents)) throw contents;
  try {
    return work(contents);
  } catch (error) {
    throw new CertificateError(path, `${wrong}: ${(error as Error).message}`, { cause: error });
  }
}
