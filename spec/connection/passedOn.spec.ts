import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Subject } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { passCopy } from '../../lib/connection/passedOn.ts';
import { serve } from '../../lib/serve.ts';
import { authority } from '../support/certificates.ts';
import { iteration } from '../support/clock.ts';
import { Log } from '../support/log.ts';

const KIB = 1024;

describe('a copy of a large chunk', () => {
  /** Passes a chunk on, and returns the copy. */
  function copyOf(chunk: Uint8Array, isDone: boolean): Buffer {
    let copy: Buffer | undefined;
    passCopy(chunk, (passed) => {
      copy = passed;
      return isDone;
    });
    return copy as Buffer;
  }

  it.each([1, 64 * KIB, 64 * KIB + 1, 300 * KIB])('of %i bytes equals it', (length) => {
    const chunk = randomBytes(length);
    expect(copyOf(chunk, true).equals(chunk)).toBe(true);
  });

  it('is in the same buffer as the one before, if nothing refers to that any more', () => {
    const { buffer } = copyOf(randomBytes(64 * KIB), true);
    expect(copyOf(randomBytes(60 * KIB), true).buffer).toBe(buffer);
  });

  it('stays as it is while something refers to it', () => {
    const chunk = randomBytes(64 * KIB);
    const copy = copyOf(chunk, false);
    copyOf(randomBytes(64 * KIB), true);
    expect(copy.equals(chunk)).toBe(true);
  });

  it('stays as it is while another one is passed on', () => {
    const chunk = randomBytes(64 * KIB);
    passCopy(chunk, (copy) => {
      copyOf(randomBytes(64 * KIB), true);
      expect(copy.equals(chunk)).toBe(true);
      return true;
    });
  });

  it('is not used again after an error', () => {
    let copy: Buffer | undefined;
    const chunk = randomBytes(64 * KIB);
    const pass = () =>
      passCopy(chunk, (passed) => {
        copy = passed;
        throw new Error('refused');
      });
    expect(pass).toThrow('refused');
    copyOf(randomBytes(64 * KIB), true);
    expect(copy?.equals(chunk)).toBe(true);
  });
});

describe.each(['TCP', 'TLS'])('an echo of large reads, over %s', (kind) => {
  afterEach(() => vi.unstubAllEnvs());

  it('sends every byte as it came, also to peers that read late', async () => {
    vi.stubEnv('SLUICE_TRANSPORT', 'handle');
    const root = await authority();
    const shutdown = new Subject<void>();
    const options = {
      shutdown,
      maxOutbound: Number.POSITIVE_INFINITY,
      ...(kind === 'TLS' && { tls: await root.issue() }),
    };
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, options));
    const port = await log.whenListening();
    const dial = (): Socket =>
      kind === 'TLS' ? connectTls({ port, host: '127.0.0.1', ca: root.ca }) : connect(port, '127.0.0.1');
    const echoed = async (isLate: boolean) => {
      const socket = dial();
      const sent = randomBytes(6 * KIB * KIB);
      socket.end(sent);
      // Meanwhile the buffers of the kernel fill up, and writes of the server are not taken at once.
      for (let i = 0; isLate && i < 200; i++) await iteration();
      const chunks: Buffer[] = [];
      for await (const chunk of socket) chunks.push(chunk);
      return Buffer.concat(chunks).equals(sent);
    };
    expect(await Promise.all([echoed(false), echoed(true), echoed(true), echoed(false)])).toEqual([
      true,
      true,
      true,
      true,
    ]);
    shutdown.next();
    await log.whenCompleted();
  });
});
