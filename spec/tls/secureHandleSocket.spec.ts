import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TlsError } from '../../lib/errors.ts';
import { SecureHandleSocket } from '../../lib/tls/secureHandleSocket.ts';
import { SecureSocket } from '../../lib/tls/secureSocket.ts';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import { handles } from '../../lib/transport/nodeInternals.ts';
import { iteration } from '../support/clock.ts';
import { uncaughtWhile } from '../support/uncaught.ts';
import { accepted, dialled, type Ends, handshakes, type PairOptions, Report, waitUntil } from './securePair.ts';

const open: Ends[] = [];

afterEach(() => {
  for (const { socket, peer, raw } of open.splice(0)) {
    socket.destroy();
    peer.destroy();
    raw.destroy();
  }
  vi.unstubAllEnvs();
});

/** Lets everything happen that must not. */
async function iterations(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await iteration();
}

/** The text that a peer receives. */
function reading({ peer }: Ends): { text: string; hasEnded: boolean } {
  const read = { text: '', hasEnded: false };
  peer.on('data', (chunk) => {
    read.text += chunk.toString('latin1');
  });
  peer.on('end', () => {
    read.hasEnded = true;
  });
  peer.on('error', () => {});
  return read;
}

const usesHandles = handles() !== undefined;

describe.each([
  ['accepted, on a handle', accepted, nodeTransport, usesHandles],
  ['dialled, on a handle', dialled, nodeTransport, usesHandles],
  ['accepted, by node:tls', accepted, netTransport, false],
  ['dialled, by node:tls', dialled, netTransport, false],
] as const)('a TLS socket, %s', (kind, pairOf, transport, isOnHandle) => {
  async function pair(options?: PairOptions): Promise<Ends & { report: Report }> {
    vi.stubEnv('SLUICE_TRANSPORT', 'handle');
    const ends = await pairOf(transport, options);
    open.push(ends);
    return { ...ends, report: new Report(ends.socket) };
  }
  const isServer = kind.startsWith('accepted');

  it('is what the transport has', async () => {
    const before = { ...handshakes };
    const { socket } = await pair();
    expect(socket).toBeInstanceOf(isOnHandle ? SecureHandleSocket : SecureSocket);
    expect(socket.borrows).toBe(isOnHandle);
    if (isServer) expect(handshakes[isOnHandle ? 'handle' : 'net']).toBe(before[isOnHandle ? 'handle' : 'net'] + 1);
    expect(socket.security).toMatchObject({ protocol: 'TLSv1.3', isResumed: false, isTruncated: false });
    expect(socket.peer.address).toBe('127.0.0.1');
    expect(socket.local.port).toBeGreaterThan(0);
    expect(socket.descriptor).toBeGreaterThan(0);
    expect(socket).toMatchObject({ alive: true, pending: 0, bytesWritten: 0, needsPolling: true });
  });

  it('sends strings, bytes and pieces in order', async () => {
    const ends = await pair();
    const { socket, report } = ends;
    const read = reading(ends);
    const sent: string[] = [];
    const large = randomBytes(200_000);
    for (const data of ['é€😀', Buffer.from('b'), ['c', Buffer.from('d'), 'é'], '', [], [''], large, [large, 'x']]) {
      const events = report.events.length;
      if (!socket.write(data as string)) await waitUntil(() => report.events.length > events, 'room');
      sent.push(...[data].flat().map((piece) => Buffer.from(piece as string).toString('latin1')));
    }
    await waitUntil(() => read.text.length === sent.join('').length, 'all bytes');
    expect(read.text === sent.join('')).toBe(true);
    expect(socket).toMatchObject({ pending: 0, bytesWritten: read.text.length });
  });

  it('takes one write at once, and reports room once after those that wait for it', async () => {
    const ends = await pair();
    const { socket, report } = ends;
    const read = reading(ends);
    await iterations();
    expect(socket.write('one')).toBe(true);
    expect(socket).toMatchObject({ pending: 0, bytesWritten: 3 });
    expect(socket.write('three')).toBe(false);
    expect(socket.write(['f', Buffer.from('our')])).toBe(false);
    expect(socket.bytesWritten).toBe(12);
    if (isOnHandle) expect(socket.pending).toBe(9);
    expect(report.events).toEqual([]);
    await report.until('writable');
    expect(socket.pending).toBe(0);
    await waitUntil(() => read.text === 'onethreefour', 'the text');
    await iterations();
    expect(report.events).toEqual(['writable']);
  });

  it('shows the progress of a large write', async () => {
    const ends = await pair();
    const { socket, peer, report } = ends;
    const size = 30_000_000;
    peer.pause();
    expect(socket.write(Buffer.alloc(size))).toBe(false);
    await iterations(20);
    const stalled = socket.pending;
    expect(stalled).toBeGreaterThan(size / 10);
    expect(stalled).toBeLessThanOrEqual(size);
    expect(socket.bytesWritten).toBe(size);
    let seen = 0;
    let isExact = true;
    peer.on('data', ({ length }) => {
      seen += length;
      if (seen > size - socket.pending) isExact = false;
    });
    peer.resume();
    await report.until('writable');
    expect(socket.pending).toBe(0);
    await waitUntil(() => seen === size, 'all bytes');
    // The other implementation estimates it.
    if (isOnHandle) expect(isExact).toBe(true);
  });

  it('passes on nothing while it is paused, and the rest in order', async () => {
    const ends = await pair();
    const { socket, peer, report } = ends;
    // All of that comes by one read: several records, and the end.
    for (const text of ['a', 'b', 'c', 'd']) await new Promise((sent) => peer.write(text, sent));
    await new Promise<void>((sent) => peer.end('e', sent));
    await iterations();
    let chunks = 0;
    report.onChunk = () => {
      chunks++;
      socket.pause();
    };
    socket.resume();
    for (const text of ['a', 'ab', 'abc', 'abcd']) {
      await waitUntil(() => report.length >= text.length, text);
      await iterations();
      if (isOnHandle) expect([report.text, report.events]).toEqual([text, []]);
      if (report.length === 5) break;
      socket.resume();
      expect(chunks).toBe(report.chunks.length);
    }
    if (report.length < 5) await waitUntil(() => report.length === 5, 'the last chunk');
    await iterations();
    expect(report.text).toBe('abcde');
    // A socket of Node emits the end although it is paused.
    if (isOnHandle) expect(report.events).toEqual([]);
    socket.resume();
    await report.until('peerEnded');
    expect(socket.security.isTruncated).toBe(false);
  });

  it('passes on what follows a chunk whose handler throws', async () => {
    const { socket, peer, report } = await pair();
    for (const text of ['a', 'b', 'c']) await new Promise((sent) => peer.write(text, sent));
    await iterations();
    let isFirst = true;
    report.onChunk = () => {
      if (isFirst) socket.pause();
      isFirst = false;
    };
    socket.resume();
    await waitUntil(() => report.length > 0, 'the first chunk');
    await iterations();
    let isThrown = false;
    report.onChunk = () => {
      if (isThrown) return;
      isThrown = true;
      throw new Error('thrown by the handler');
    };
    const errors = await uncaughtWhile(async () => {
      socket.resume();
      await waitUntil(() => isThrown, 'the throw');
      await iterations();
      peer.write('d');
      await waitUntil(() => report.text.endsWith('d'), 'the last chunk');
    });
    expect(errors).toHaveLength(1);
  });

  it.each([16_384, 65_536, 100_000, 1_000_000])('passes on %i bytes, together as far as they come', async (size) => {
    const { socket, peer, report } = await pair();
    const bytes = randomBytes(size);
    peer.write(bytes);
    await iterations();
    socket.resume();
    await waitUntil(() => report.length === size, 'all bytes');
    expect(Buffer.concat(report.chunks).equals(bytes)).toBe(true);
    if (isOnHandle && size >= 1_000_000)
      expect(Math.max(...report.chunks.map(({ length }) => length))).toBeGreaterThan(16_384);
  });

  it('stays open for what each side sends after the end of the other', async () => {
    const ends = await pair();
    const { socket, peer, report } = ends;
    const read = reading(ends);
    socket.resume();
    socket.write('last');
    socket.end();
    await report.until('finished');
    await waitUntil(() => read.hasEnded, 'the end');
    expect(read.text).toBe('last');
    peer.write('reply');
    await waitUntil(() => report.text === 'reply', 'the reply');
    peer.end();
    await report.until('freed');
    expect(report.events.filter((event) => event !== 'writable')).toEqual(['finished', 'peerEnded', 'freed']);
    expect(socket.security.isTruncated).toBe(false);
  });

  it('sends after the end of its peer', async () => {
    const ends = await pair();
    const { socket, peer, report } = ends;
    const read = reading(ends);
    socket.resume();
    peer.end('request');
    await report.until('peerEnded');
    expect(report.text).toBe('request');
    socket.write('reply');
    await waitUntil(() => read.text === 'reply', 'the reply');
    socket.end();
    await report.until('freed');
    await waitUntil(() => read.hasEnded, 'the end');
    expect(report.events.filter((event) => event !== 'writable')).toEqual(['peerEnded', 'finished', 'freed']);
  });

  it.each([false, true])('knows a FIN without close_notify (paused before: %s)', async (isPaused) => {
    const { socket, raw, peer, report } = await pair();
    peer.write('abc');
    if (!isPaused) socket.resume();
    await iterations();
    raw.end();
    await iterations();
    socket.resume();
    await report.until('peerEnded');
    expect(report.text).toBe('abc');
    expect(socket.security.isTruncated).toBe(true);
  });

  it('sends an alert when a record is forged, and fails', async () => {
    const { socket, raw, peer, report } = await pair();
    const errors: Error[] = [];
    peer.on('error', (error) => errors.push(error));
    raw.on('error', () => {});
    socket.resume();
    raw.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), randomBytes(40)]));
    await report.until('freed');
    expect(report.events).toEqual(['failed', 'freed']);
    expect(report.error).toBeInstanceOf(TlsError);
    expect(report.error).toMatchObject({ alert: 'bad_record_mac', sentBy: 'local' });
    await waitUntil(() => errors.length > 0, 'the alert');
    expect(String(errors[0])).toMatch(/bad.record.mac/);
  });

  it('is reset, and reset by its peer', async () => {
    const first = await pair();
    const codes: unknown[] = [];
    for (const end of [first.peer, first.raw])
      end.on('error', (error) => codes.push((error as { code?: string }).code));
    first.peer.resume();
    await iterations(20);
    first.socket.reset();
    await first.report.until('freed');
    await waitUntil(() => codes.length > 0, 'the RST');
    expect(codes[0]).toBe('ECONNRESET');
    const second = await pair();
    second.raw.on('error', () => {});
    second.socket.resume();
    await iterations(20);
    second.raw.resetAndDestroy();
    await second.report.until('freed');
    expect(second.report.events).toEqual(['failed', 'freed']);
    expect(second.report.error).toMatchObject({ code: 'ECONNRESET' });
  });

  it('reports a failed write, and reads on', async () => {
    const { socket, raw, peer, report } = await pair();
    raw.on('error', () => {});
    await new Promise((sent) => peer.write('before', sent));
    raw.destroy();
    await waitUntil(() => {
      if (!report.events.includes('writeFailed')) socket.write('x'.repeat(1000));
      return report.events.includes('writeFailed');
    }, 'the error');
    expect(report.error).toMatchObject({ syscall: 'write' });
    expect(socket.write('y')).toBe(false);
    socket.resume();
    await waitUntil(() => report.events.length > 1, 'the end of the input');
    socket.destroy();
    await report.until('freed');
  });

  it('writes nothing more once it is closed, and keeps its figures', async () => {
    const { socket, report } = await pair();
    socket.write('abc');
    socket.destroy();
    expect(socket.write('d')).toBe(false);
    socket.pause();
    socket.resume();
    socket.end();
    socket.destroy();
    socket.reset();
    await report.until('freed');
    expect(report.events).toEqual(['freed']);
    expect(socket).toMatchObject({ bytesWritten: 3, descriptor: undefined });
    expect(socket.local.port).toBeUndefined();
  });

  it('is closed within the callback that receives', async () => {
    const { socket, peer, report } = await pair();
    for (const text of ['a', 'b', 'c']) await new Promise((sent) => peer.write(text, sent));
    peer.on('error', () => {});
    report.onChunk = () => socket.destroy();
    socket.resume();
    await report.until('freed');
    expect(report.text).toBe('a');
    expect(report.events).toEqual(['freed']);
  });

  it.each([
    ['paused', false],
    ['closed', true],
  ])('is %s within the callback that receives full records, with the end behind them', async (_how, closes) => {
    const { socket, peer, report } = await pair();
    peer.on('error', () => {});
    await new Promise<void>((sent) => peer.end(Buffer.alloc(32_768), sent));
    await iterations();
    report.onChunk = () => (closes ? socket.destroy() : socket.pause());
    socket.resume();
    await waitUntil(() => report.length > 0, 'the records');
    await iterations(20);
    if (isOnHandle) expect(report.events).toEqual(closes ? ['freed'] : []);
    report.onChunk = () => {};
    socket.resume();
    await report.until(closes ? 'freed' : 'peerEnded');
    if (!closes) expect(report.length).toBe(32_768);
  });

  it('resumes a session', async () => {
    const tls = { ticketKeys: randomBytes(48) };
    let session: Buffer | undefined;
    const first = await accepted(netTransport, { tls });
    open.push(first);
    first.peer.on('session', (ticket) => {
      session = ticket;
    });
    first.peer.resume();
    await waitUntil(() => session !== undefined, 'the ticket');
    const { socket, peer, report } = await pair({ tls: { ...tls, session } as PairOptions['tls'] & object });
    expect(socket.security.isResumed).toBe(true);
    socket.resume();
    peer.write('abc');
    await waitUntil(() => report.text === 'abc', 'the bytes');
  });

  it.runIf(isServer)('sends what was written within the handshake, and then a FIN', async () => {
    vi.stubEnv('SLUICE_TRANSPORT', 'handle');
    const ends = await accepted(transport, {}, (during) => {
      expect(during.write(['early', Buffer.from(' and')])).toBe(false);
      if (isOnHandle) expect(during.write(' late')).toBe(false);
      expect(during.bytesWritten).toBe(isOnHandle ? 14 : 9);
      during.end();
    });
    open.push(ends);
    const read = reading(ends);
    await waitUntil(() => read.hasEnded, 'the end');
    expect(read.text).toBe(isOnHandle ? 'early and late' : 'early and');
    await waitUntil(() => ends.socket.pending === 0, 'room');
    expect(ends.socket.bytesWritten).toBe(read.text.length);
  });
});
