import { resolve } from 'node:path';
import { defer, filter, map, Observable, repeat, type SchedulerLike } from 'rxjs';
import type { CertificateError } from '../errors.ts';
import { type Check, type Checks, check, describe, milliseconds, schedulerLike, timeLimit } from '../options.ts';
import { DeadlineTimer } from '../time/deadlineTimer.ts';
import { defaultClock } from '../time/monotonic.ts';
import { areSame, faultOf, type Paths, type Reading, readFiles } from './certificateFiles.ts';

/** The files of {@link certificates}. */
export interface CertificatePaths {
  /**
   * The certificate in PEM, followed by those of its intermediate authorities. Several such files are for several types of keys,
   * such as ECDSA and RSA: the client chooses.
   */
  readonly cert: string | readonly string[];
  /** The private key in PEM, which may be in the same file. Several certificates have as many keys, in the same order. */
  readonly key: string | readonly string[];
  /** The authorities in PEM. With them each client must have a certificate of one of them. @default none */
  readonly ca?: string | readonly string[];
  /** What decrypts the keys. @default none */
  readonly passphrase?: string;
}

/** Options of {@link certificates}. */
export interface CertificatesOptions {
  /** How long to wait from one reading of the files to the next, in milliseconds. @default 10_000 */
  readonly interval?: number;
  /**
   * How long files may be unusable before that is emitted, in milliseconds: for so long they may be in the middle of a
   * replacement. With `Infinity` it is never emitted. @default 60_000
   */
  readonly patience?: number;
  /** The clock. @default monotonic */
  readonly scheduler?: SchedulerLike;
}

/** What the files contain, as options of `node:tls`. */
export interface CertificateFiles {
  /** A list where the path is a list, as `key` and `ca`. */
  readonly cert: Buffer | Buffer[];
  /** The keys, encrypted if the files are. */
  readonly key: Buffer | Buffer[];
  /** The authorities of clients, if there is a path of them. */
  readonly ca?: Buffer | Buffer[];
  /** A client must have a certificate. It is there if `ca` is. */
  readonly requestCert?: true;
  /** What decrypts the keys, if that was given. */
  readonly passphrase?: string;
  /** Why the files cannot be used, if they cannot. Then `cert` and `key` are empty, and `node:tls` refuses them. */
  readonly error?: CertificateError;
}

/**
 * Reads a certificate and its key from files, and reads them again when they are renewed: for the option `tls`.
 *
 * ```text
 * files           old-------new---------
 * certificates()  -old--------new-------
 * ```
 *
 * The files are read every `interval`, because no other way notices each kind of replacement on each file system: a file that is
 * renamed over the old one, written in place, or swapped together with its folder by a symbolic link, as Kubernetes and certbot
 * do. New contents are emitted when two readings in a row are the same, every certificate in them is whole, and each key belongs
 * to its certificate. So files that are replaced one after the other are emitted once, together.
 *
 * Files that stay unusable for `patience` are emitted once, with an `error` and with an empty `cert` and `key`. A server refuses
 * these, emits an event that says so, and keeps the certificate that it has. Reading goes on, and what is usable again is emitted,
 * even if it has not changed. Only the first reading can fail: nothing has been emitted by then. For `connection.upgrade` skip
 * those with an `error`, because it has no certificate to keep.
 *
 * @example
 * ```ts
 * const tls = certificates({ cert: 'server.pem', key: 'server.key' });
 *
 * serve({ port: 7000 }, (client) => client.pipe(lines(), map(encodeLine)), { tls }).subscribe(logTo());
 * ```
 *
 * @param paths The files. A relative path is resolved at the call.
 * @param options See {@link CertificatesOptions}.
 * @returns A cold Observable, which never completes. It does not keep the process alive.
 *   It errors with {@link CertificateError} if the files cannot be used when they are read for the first time.
 * @throws TypeError or RangeError for invalid paths or options.
 */
export function certificates(paths: CertificatePaths, options: CertificatesOptions = {}): Observable<CertificateFiles> {
  const given = check('watch certificates', paths, PATHS, 'paths');
  const { interval = 10_000, patience = 60_000, scheduler } = check('watch certificates', options, CHECKS);
  const files: Paths = { cert: listOf(given.cert), key: listOf(given.key), ca: listOf(given.ca) };
  if (files.cert.length !== files.key.length || files.cert.length === 0) {
    throw new TypeError('Cannot watch certificates: paths must have cert and key, one key for each certificate');
  }
  return defer(() => {
    const clock = scheduler ?? defaultClock();
    const renewals = new Renewals(given, patience);
    return defer(() => readFiles(files)).pipe(
      repeat({ delay: () => pause(interval, clock) }),
      map((reading) => renewals.next(reading, clock.now())),
      filter((one) => one !== undefined),
    );
  });
}

/** Decides which readings are emitted. */
class Renewals {
  readonly #paths: CertificatePaths;
  readonly #patience: number;
  #emitted: Reading | undefined;
  #latest: Reading | undefined;
  /** When `#latest` was read for the first time. */
  #since = 0;

  constructor(paths: CertificatePaths, patience: number) {
    this.#paths = paths;
    this.#patience = patience;
  }

  /** @throws CertificateError if the first reading is unusable. */
  next(reading: Reading, now: number): CertificateFiles | undefined {
    const emitted = this.#emitted;
    if (emitted !== undefined) {
      if (this.#latest === undefined || !areSame(reading, this.#latest)) {
        this.#latest = reading;
        this.#since = now;
        return undefined;
      }
      if (areSame(reading, emitted)) return undefined;
    }
    const error = faultOf(reading, this.#paths.passphrase);
    if (error !== undefined && emitted === undefined) throw error;
    if (error !== undefined && now - this.#since < this.#patience) return undefined;
    this.#emitted = reading;
    return error === undefined ? this.#filesOf(reading) : { cert: NOTHING, key: NOTHING, error };
  }

  #filesOf({ cert, key, ca }: Reading): CertificateFiles {
    const paths = this.#paths;
    return {
      cert: contentsOf(cert, paths.cert),
      key: contentsOf(key, paths.key),
      ...(paths.ca === undefined ? {} : { ca: contentsOf(ca, paths.ca), requestCert: true }),
      ...(paths.passphrase === undefined ? {} : { passphrase: paths.passphrase }),
    };
  }
}

const NOTHING = Buffer.alloc(0);

/** The contents of files that have been read: a list where the path was a list. */
function contentsOf(files: Reading['cert'], path: string | readonly string[]): Buffer | Buffer[] {
  const all = files.map(({ contents }) => contents as Buffer);
  return typeof path === 'string' ? (all[0] ?? NOTHING) : all;
}

/** Emits once, after a time. The timer does not keep the process alive. */
const pause = (time: number, clock: SchedulerLike): Observable<void> =>
  new Observable((subscriber) => {
    const at = clock.now() + time;
    const timer = new DeadlineTimer(clock, { due: () => at, expire: () => subscriber.next() });
    timer.set();
    return () => timer.clear();
  });

const listOf = (paths: string | readonly string[] = []): string[] => [paths].flat().map((path) => resolve(path));

const isPath = (value: unknown): boolean => typeof value === 'string' && value !== '' && !value.includes('\0');

const path: Check = (value) => {
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  // Contents in its place may be a private key, which must not be shown.
  if (all.some((one) => typeof one === 'string' && one.includes('-----BEGIN')))
    return 'must be a path, not the contents of the file';
  return all.length > 0 && all.every(isPath) ? undefined : `must be a path, or a list of paths, not ${describe(value)}`;
};

/** The value is a secret. */
const passphrase: Check = (value) => (typeof value === 'string' ? undefined : 'must be a string');

const PATHS: Checks = { cert: path, key: path, ca: path, passphrase };

const CHECKS: Checks = { interval: timeLimit, patience: milliseconds, scheduler: schedulerLike };
