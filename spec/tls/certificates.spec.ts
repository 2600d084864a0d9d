import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createSecureContext } from 'node:tls';
import { firstValueFrom, type Subscription } from 'rxjs';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CertificateError,
  type CertificateFiles,
  type CertificatePaths,
  type CertificatesOptions,
  certificates,
} from '../../lib/index.ts';
import { type Authority, authority, type Issued } from '../support/certificates.ts';
import { Clock, iteration } from '../support/clock.ts';

const INTERVAL = 10_000;

let folder: string;
let root: Authority;
let first: Issued;
let second: Issued;
let third: Issued;

beforeAll(async () => {
  root = await (await authority()).intermediate();
  [first, second, third] = await Promise.all([root.issue(), root.issue(), root.issue()]);
});

const watches = new Set<Watch>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-certificates-'));
});

afterEach(async () => {
  for (const watch of watches) watch.subscription.unsubscribe();
  watches.clear();
  await rm(folder, { recursive: true });
});

const at = (name: string): string => join(folder, name);

/** Writes the files of a pair in place. */
async function write({ cert, key }: Issued): Promise<void> {
  await writeFile(at('cert.pem'), cert);
  await writeFile(at('key.pem'), key);
}

/** Writes a file beside another one, and renames it over that. */
async function replace(name: string, contents: string): Promise<void> {
  await writeFile(at(`${name}.new`), contents);
  await rename(at(`${name}.new`), at(name));
}

/** A subscription on a virtual clock, with what it emitted. */
class Watch {
  readonly clock = new Clock();
  readonly emitted: CertificateFiles[] = [];
  readonly subscription: Subscription;
  error: unknown;

  constructor(paths: Partial<CertificatePaths> = {}, options: CertificatesOptions = {}) {
    watches.add(this);
    this.subscription = certificates(
      { cert: at('cert.pem'), key: at('key.pem'), ...paths },
      { scheduler: this.clock, ...options },
    ).subscribe({
      next: (files) => this.emitted.push(files),
      error: (error) => {
        this.error = error;
      },
    });
  }

  /** Waits until the files have been read: then the timer for the next reading is armed. */
  async read(): Promise<this> {
    while (this.clock.actions.length === 0 && !this.subscription.closed) await iteration();
    return this;
  }

  /** Lets so many intervals pass, each with a reading. */
  async pass(intervals: number, interval = INTERVAL): Promise<void> {
    for (let i = 0; i < intervals; i++) {
      this.clock.jump(interval);
      await this.read();
    }
  }

  /** What was emitted since the last call: the PEM of each pair, or the message of its error. */
  take(): unknown[] {
    return this.emitted
      .splice(0)
      .map(({ cert, key, error }) => (error ? error.message : { cert: String(cert), key: String(key) }));
  }
}

/** A subscription after its first reading of the first pair, whose emission has been taken. */
async function watching(paths: Partial<CertificatePaths> = {}, options: CertificatesOptions = {}): Promise<Watch> {
  await write(first);
  const watch = await new Watch(paths, options).read();
  expect(watch.take()).toEqual([first]);
  return watch;
}

describe('certificates', () => {
  it('reads nothing before it is subscribed to, and emits what each subscriber reads', async () => {
    const files = certificates({ cert: at('cert.pem'), key: at('key.pem') }, { scheduler: new Clock() });
    await write(first);
    const emitted = await firstValueFrom(files);
    expect(emitted).toEqual({ cert: Buffer.from(first.cert), key: Buffer.from(first.key) });
  });

  it('emits options that node:tls takes, with the authorities of clients, and the passphrase', async () => {
    const pair = await root.issue({ passphrase: 'secret' });
    await write(pair);
    await writeFile(at('ca.pem'), root.ca);
    const { emitted } = await new Watch({ ca: at('ca.pem'), passphrase: 'secret' }).read();
    expect(emitted).toEqual([
      {
        cert: Buffer.from(pair.cert),
        key: Buffer.from(pair.key),
        ca: Buffer.from(root.ca),
        requestCert: true,
        passphrase: 'secret',
      },
    ]);
    expect(() => createSecureContext(emitted[0])).not.toThrow();
  });

  it('emits lists for lists, such as an ECDSA and an RSA certificate', async () => {
    const rsa = await root.issue({ type: 'rsa' });
    await write(first);
    await writeFile(at('rsa.pem'), rsa.cert + rsa.key);
    const cert = [at('cert.pem'), at('rsa.pem')];
    const { emitted } = await new Watch({ cert, key: [at('key.pem'), at('rsa.pem')], ca: [at('cert.pem')] }).read();
    expect(emitted).toEqual([
      {
        cert: [Buffer.from(first.cert), Buffer.from(rsa.cert + rsa.key)],
        key: [Buffer.from(first.key), Buffer.from(rsa.cert + rsa.key)],
        ca: [Buffer.from(first.cert)],
        requestCert: true,
      },
    ]);
    expect(() => createSecureContext(emitted[0])).not.toThrow();
  });

  it('reads a relative path from the folder that was the current one at the call', async () => {
    await write(first);
    const files = { cert: relative(process.cwd(), at('cert.pem')), key: relative(process.cwd(), at('key.pem')) };
    expect((await new Watch(files).read()).take()).toEqual([first]);
  });

  it('emits nothing while the contents stay the same, also where the files are written anew', async () => {
    const watch = await watching();
    await watch.pass(3);
    await write(first);
    await replace('key.pem', first.key);
    await watch.pass(3);
    expect(watch.take()).toEqual([]);
  });

  it('stops at once when it is unsubscribed from, also while it reads', async () => {
    const watch = await watching();
    await write(second);
    await watch.pass(1);
    watch.clock.jump(INTERVAL);
    watch.subscription.unsubscribe();
    // Its reading ends in some later iteration. Another one that begins now ends after it.
    await new Watch().read();
    expect(watch.take()).toEqual([]);
    expect(watch.clock.actions).toEqual([]);

    const other = await watching();
    other.subscription.unsubscribe();
    expect(other.clock.actions).toEqual([]);
  });

  it('does not keep the process alive', async () => {
    await write(first);
    const set = vi.spyOn(globalThis, 'setTimeout');
    const subscription = certificates({ cert: at('cert.pem'), key: at('key.pem') }).subscribe();
    let index = -1;
    while (index < 0) {
      await iteration();
      index = set.mock.calls.findIndex(([, delay = 0]) => delay >= INTERVAL);
    }
    const timer = set.mock.results[index]?.value as NodeJS.Timeout;
    set.mockRestore();
    subscription.unsubscribe();
    expect(timer.hasRef()).toBe(false);
  });
});

describe('a renewal', () => {
  it.each<[string, () => Promise<void>]>([
    ['written in place', () => write(second)],
    [
      'renamed over the old files',
      async () => {
        await replace('cert.pem', second.cert);
        await replace('key.pem', second.key);
      },
    ],
    [
      'deleted, and made again',
      async () => {
        await rm(at('cert.pem'));
        await rm(at('key.pem'));
        await write(second);
      },
    ],
  ])('is emitted once when two readings in a row are the same: %s', async (_how, renew) => {
    const watch = await watching();
    await renew();
    await watch.pass(1);
    expect(watch.take()).toEqual([]);
    await watch.pass(1);
    expect(watch.take()).toEqual([second]);
    await watch.pass(3);
    expect(watch.take()).toEqual([]);
  });

  it('is read every interval, of any length', async () => {
    const watch = await watching({}, { interval: 7 });
    await write(second);
    watch.clock.jump(6);
    expect(watch.clock.actions).toHaveLength(1);
    await watch.pass(1, 1);
    await watch.pass(1, 7);
    expect(watch.take()).toEqual([second]);
  });

  it('is noticed when the folder of the files is swapped, as Kubernetes does', async () => {
    const version = async (name: string, { cert, key }: Issued) => {
      await mkdir(at(name));
      await writeFile(at(`${name}/tls.crt`), cert);
      await writeFile(at(`${name}/tls.key`), key);
      await symlink(name, at('..data_tmp'));
      await rename(at('..data_tmp'), at('..data'));
    };
    await version('..2026_01', first);
    await symlink('..data/tls.crt', at('tls.crt'));
    await symlink('..data/tls.key', at('tls.key'));
    const watch = await new Watch({ cert: at('tls.crt'), key: at('tls.key') }).read();
    await version('..2026_02', second);
    await rm(at('..2026_01'), { recursive: true });
    await watch.pass(2);
    expect(watch.take()).toEqual([first, second]);
  });

  it('is noticed when each symbolic link is replaced, as certbot does', async () => {
    const link = async (name: string, target: string, contents: string) => {
      await writeFile(at(target), contents);
      await rm(at(name), { force: true });
      await symlink(target, at(name));
    };
    await link('cert.pem', 'cert1.pem', first.cert);
    await link('key.pem', 'key1.pem', first.key);
    const watch = await new Watch().read();
    await link('cert.pem', 'cert2.pem', second.cert);
    await watch.pass(3);
    await link('key.pem', 'key2.pem', second.key);
    await watch.pass(2);
    expect(watch.take()).toEqual([first, second]);
  });

  it.each([
    ['the certificate first', ['cert.pem', 'key.pem']],
    ['the key first', ['key.pem', 'cert.pem']],
  ])('of one file after the other is emitted once, whole: %s', async (_order, [one = '', other = '']) => {
    const contents: Record<string, string> = { 'cert.pem': second.cert, 'key.pem': second.key };
    const watch = await watching();
    await replace(one, contents[one] ?? '');
    await watch.pass(4);
    expect(watch.take()).toEqual([]);
    await replace(other, contents[other] ?? '');
    await watch.pass(2);
    expect(watch.take()).toEqual([second]);
  });

  it('waits until a file that is written slowly is whole, although its first certificate and the key already match', async () => {
    const watch = await watching();
    await writeFile(at('key.pem'), second.key);
    const half = second.cert.slice(0, second.cert.length - 100);
    await writeFile(at('cert.pem'), half);
    await watch.pass(3);
    expect(watch.take()).toEqual([]);
    await writeFile(at('cert.pem'), second.cert);
    await watch.pass(2);
    expect(watch.take()).toEqual([second]);
  });

  it('is emitted in its last state where it changes again at once', async () => {
    const watch = await watching();
    await write(second);
    await watch.pass(1);
    await write(third);
    await watch.pass(1);
    expect(watch.take()).toEqual([]);
    await watch.pass(1);
    expect(watch.take()).toEqual([third]);
  });

  it('of the authorities alone is emitted, and so is one of the certificate with the same key', async () => {
    await writeFile(at('ca.pem'), root.ca);
    const watch = await watching({ ca: at('ca.pem') });
    await writeFile(at('ca.pem'), root.ca + root.cert);
    await watch.pass(2);
    expect(watch.emitted.map(({ ca }) => String(ca))).toEqual([root.ca + root.cert]);
    watch.take();
    // The same certificate without the one of the authority above it.
    const short = { ...first, cert: first.cert.slice(0, first.cert.indexOf('-----BEGIN', 1)) };
    await writeFile(at('cert.pem'), short.cert);
    await watch.pass(2);
    expect(watch.take()).toEqual([short]);
  });
});

/** How files may be unusable, and the end of the sentence that says so. */
const faults: [string, () => Promise<unknown>, string, RegExp][] = [
  ['a key that has vanished', () => rm(at('key.pem')), 'key.pem', /: ENOENT: no such file or directory/],
  [
    'a folder in place of a certificate',
    async () => {
      await rm(at('cert.pem'));
      await mkdir(at('cert.pem'));
    },
    'cert.pem',
    /: EISDIR/,
  ],
  ['an empty certificate', () => writeFile(at('cert.pem'), ''), 'cert.pem', /: it has no certificate in PEM$/],
  [
    'a certificate that is garbage',
    () => writeFile(at('cert.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    'cert.pem',
    /: a certificate in it is invalid: error:/,
  ],
  [
    'a chain without its end',
    () => writeFile(at('cert.pem'), first.cert.slice(0, -100)),
    'cert.pem',
    /: a certificate in it is invalid: error:/,
  ],
  [
    'a key that is garbage',
    () => writeFile(at('key.pem'), 'key'),
    'key.pem',
    /: it has no private key that can be read: /,
  ],
  [
    'a key of another certificate',
    () => writeFile(at('key.pem'), second.key),
    'key.pem',
    /: it is not the key of \/.*cert.pem$/,
  ],
  ['an authority that is a key', () => writeFile(at('ca.pem'), first.key), 'ca.pem', /: it has no certificate in PEM$/],
];

describe('files that are unusable', () => {
  beforeEach(async () => {
    await write(first);
    await writeFile(at('ca.pem'), root.ca);
  });

  it.each(faults)('are an error at the first reading: %s', async (_what, damage, name, message) => {
    await damage();
    const { error, emitted, subscription } = await new Watch({ ca: at('ca.pem') }).read();
    expect(error).toBeInstanceOf(CertificateError);
    expect(error).toMatchObject({ path: at(name), message: expect.stringMatching(message) });
    expect((error as Error).message).toContain(`Cannot use ${at(name)}: `);
    expect(emitted).toEqual([]);
    expect(subscription.closed).toBe(true);
  });

  it.each(faults)(
    'are emitted once, after a minute, so that a server refuses them: %s',
    async (_what, damage, name, message) => {
      const watch = await watching({ ca: at('ca.pem') });
      await damage();
      await watch.pass(6);
      expect(watch.take()).toEqual([]);
      await watch.pass(1);
      expect(watch.emitted).toEqual([
        { cert: Buffer.alloc(0), key: Buffer.alloc(0), error: expect.any(CertificateError) },
      ]);
      expect(watch.emitted[0]?.error).toMatchObject({ path: at(name), message: expect.stringMatching(message) });
      expect(() => createSecureContext(watch.emitted[0])).toThrow();
      watch.take();
      await watch.pass(20);
      expect(watch.take()).toEqual([]);
    },
  );

  it('keep the code of their error', async () => {
    await rm(at('cert.pem'));
    const { error } = await new Watch().read();
    expect(error).toMatchObject({ code: 'ENOENT', cause: expect.objectContaining({ syscall: 'open' }) });
  });

  it.skipIf(process.getuid?.() === 0)('include files that this user may not read', async () => {
    const watch = await watching();
    await chmod(at('key.pem'), 0);
    await watch.pass(7);
    expect(watch.emitted[0]?.error).toMatchObject({ code: 'EACCES', path: at('key.pem') });
    await chmod(at('key.pem'), 0o600);
    await watch.pass(2);
    expect(watch.take().at(-1)).toEqual(first);
  });

  it('include keys without their passphrase, or with a wrong one', async () => {
    await write(await root.issue({ passphrase: 'secret' }));
    const [none, wrong] = await Promise.all([new Watch().read(), new Watch({ passphrase: 'guess' }).read()]);
    expect(none.error).toMatchObject({
      message: expect.stringMatching(/: it is encrypted, and no passphrase was given$/),
    });
    expect(wrong.error).toMatchObject({ path: at('key.pem'), message: expect.stringContaining('error:') });
    expect(String(wrong.error)).not.toContain('guess');
  });

  it('are not emitted if they are usable again in time', async () => {
    const watch = await watching();
    await rm(at('key.pem'));
    await watch.pass(6);
    await write(first);
    await watch.pass(20);
    expect(watch.take()).toEqual([]);
  });

  it('are followed by the next renewal, or by the same files when they are usable again', async () => {
    const watch = await watching();
    for (const pair of [first, second]) {
      await rm(at('key.pem'));
      await watch.pass(7);
      expect(watch.take()).toEqual([expect.stringContaining('ENOENT')]);
      await write(pair);
      await watch.pass(2);
      expect(watch.take()).toEqual([pair]);
    }
  });

  it('are emitted again, a minute later, if they are unusable in another way', async () => {
    const watch = await watching();
    await rm(at('key.pem'));
    await watch.pass(7);
    await writeFile(at('key.pem'), second.key);
    await watch.pass(6);
    expect(watch.take()).toEqual([expect.stringContaining('ENOENT')]);
    await watch.pass(1);
    expect(watch.take()).toEqual([expect.stringContaining('it is not the key of')]);
  });

  it.each([
    [0, 2],
    [15_000, 3],
    [20_000, 3],
  ])('are emitted after a patience of %i ms in reading %i', async (patience, readings) => {
    const watch = await watching({}, { patience });
    await rm(at('key.pem'));
    await watch.pass(readings - 1);
    expect(watch.take()).toEqual([]);
    await watch.pass(1);
    expect(watch.take()).toHaveLength(1);
  });

  it('are never emitted with an infinite patience', async () => {
    const watch = await watching({}, { patience: Number.POSITIVE_INFINITY });
    await rm(at('key.pem'));
    await watch.pass(100);
    expect(watch.take()).toEqual([]);
  });
});

describe('arguments', () => {
  it.each<[unknown, unknown, string]>([
    [undefined, {}, 'paths must be an object, not undefined'],
    [{ cert: 'a' }, {}, 'paths must have cert and key, one key for each certificate'],
    [{ key: 'a' }, {}, 'paths must have cert and key, one key for each certificate'],
    [{ cert: ['a', 'b'], key: 'c' }, {}, 'paths must have cert and key, one key for each certificate'],
    [{ cert: [], key: [] }, {}, 'cert must be a path, or a list of paths, not []'],
    [{ cert: '', key: 'a' }, {}, "cert must be a path, or a list of paths, not ''"],
    [{ cert: 'a', key: 'a\0' }, {}, "key must be a path, or a list of paths, not 'a\\x00'"],
    [{ cert: 'a', key: 'a', ca: 5 }, {}, 'ca must be a path, or a list of paths, not 5'],
    [{ cert: 'a', key: 'a', passphrase: 5 }, {}, 'passphrase must be a string'],
    [
      { cert: 'a', key: 'a', pfx: 'b' },
      {},
      "paths: there is no option 'pfx'; the options are cert, key, ca, passphrase",
    ],
    [
      { cert: 'a', key: 'a' },
      { interval: 0 },
      'interval must be more than 0 milliseconds, or Infinity for no limit, not 0',
    ],
    [{ cert: 'a', key: 'a' }, { patience: -1 }, 'patience must be milliseconds, 0 or more, not -1'],
    [{ cert: 'a', key: 'a' }, { scheduler: 1 }, 'scheduler must be a SchedulerLike, not 1'],
  ])('are refused at the call: %o %o', (paths, options, message) => {
    expect(() => certificates(paths as CertificatePaths, options as CertificatesOptions)).toThrow(
      `Cannot watch certificates: ${message}`,
    );
  });
});
