import { once } from 'node:events';
import { connect as connectRaw, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { map } from 'rxjs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { lines } from '../../lib/framing/lines.ts';
import { decodeProxyHeader } from '../../lib/proxyProtocol/decode.ts';
import { encodeProxyHeader } from '../../lib/proxyProtocol/encode.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { HelloReader } from '../../lib/tls/helloReader.ts';
import { type Authority, authority, type Issued } from '../support/certificates.ts';
import { hello as clientHello } from '../support/clientHello.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

const HOST = '127.0.0.1';
const PROXIED = { trusted: [HOST] };

let root: Authority;
let good: Issued;
let hello: Buffer;
beforeAll(async () => {
  root = await authority();
  good = await root.issue();
  hello = await clientHello();
});

const servers: Log[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  for (const socket of sockets.splice(0)) socket.destroy();
});

const shout: Handler = (connection) =>
  connection.pipe(
    lines(),
    map((line) => `${line.toUpperCase()}\n`),
  );

async function open(options: ServeOptions = {}) {
  const log = Log.follow(serve({ port: 0, host: HOST }, shout, { tls: good, ...options }));
  servers.push(log);
  return { log, port: await log.whenListening() };
}

async function rawClient(port: number, bytes: Uint8Array = Buffer.alloc(0)): Promise<Socket> {
  const socket = connectRaw({ port, host: HOST }).on('error', () => {});
  sockets.push(socket);
  await once(socket, 'connect');
  socket.write(bytes);
  return socket;
}

/** Resolves when the server has closed the connection. */
async function isClosed(socket: Socket): Promise<boolean> {
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.on('close', resolve));
  return true;
}

/** Talks over TLS on a socket that may have sent something before. @returns The reply to a line. */
async function talk(raw: Socket): Promise<string> {
  const socket = connectTls({ socket: raw, ca: root.ca, servername: 'localhost' });
  sockets.push(socket);
  socket.write('hello\n');
  const [reply] = await once(socket, 'data');
  return String(reply);
}

describe('the handshake', () => {
  it('has a deadline from the accept, whatever the peer has sent', async () => {
    const clock = new Clock();
    const { log, port } = await open({ scheduler: clock, handshake: 3000 });
    const [silent, half] = [await rawClient(port), await rawClient(port, hello.subarray(0, 100))];
    const begun = await rawClient(port, hello);
    // It has the server's reply, and does not go on.
    await once(begun, 'data');
    await log.whenAccepted(3);
    await clock.advance(2999);
    expect(log.refusals).toEqual([]);
    await clock.advance(1);
    await log.whenEmitted('refused', 3);
    const refused = { reason: 'deadline', deadline: 'handshake', error: { deadline: 'handshake', after: 3000 } };
    expect(log.of('refused')).toMatchObject([refused, refused, refused]);
    for (const socket of [silent, half, begun]) expect(await isClosed(socket)).toBe(true);
    expect(log.counters).toMatchObject({ accepted: 3, refused: 3, waiting: 0, active: 0 });
  });

  it('has a deadline of 10 s by default', async () => {
    const clock = new Clock();
    const { log, port } = await open({ scheduler: clock });
    await rawClient(port);
    await log.whenAccepted(1);
    await clock.advance(9999);
    expect(log.refusals).toEqual([]);
    await clock.advance(1);
    expect(log.refusals).toEqual(['deadline']);
  });

  it('begins for two connections in one iteration of the event loop, and then for those that are left', async () => {
    const clock = new Clock();
    const { log, port } = await open({ scheduler: clock });
    const all = await Promise.all(Array.from({ length: 10 }, () => rawClient(port, hello)));
    let answered = 0;
    for (const socket of all) socket.once('data', () => answered++);
    await log.whenAccepted(10);
    // On a virtual clock an iteration ends when the clock runs its next action.
    const until = async (count: number) => {
      while (answered < count) await new Promise((resolve) => setImmediate(resolve));
    };
    await until(2);
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(2);
    await clock.settle();
    await until(10);
  });

  it('is ended by a drain, and its connection is refused as draining', async () => {
    const { Subject } = await import('rxjs');
    const shutdown = new Subject<void>();
    const { log, port } = await open({ shutdown });
    await rawClient(port);
    const begun = await rawClient(port, hello);
    await once(begun, 'data');
    expect(await talk(await rawClient(port))).toBe('HELLO\n');
    shutdown.next();
    await log.whenCompleted();
    expect(log.refusals).toEqual(['draining', 'draining']);
    expect(log.report).toMatchObject({ drained: 1, refused: 2, aborted: 0 });
  });

  it('is ended when the server is unsubscribed', async () => {
    const { log, port } = await open();
    const begun = await rawClient(port, hello);
    await once(begun, 'data');
    log.subscription?.unsubscribe();
    begun.resume();
    begun.end();
    await once(begun, 'close');
  });

  it('comes after the PROXY header, also in one packet with it', async () => {
    const { log, port } = await open({ proxy: PROXIED });
    const source = { address: '192.0.2.1', port: 1000 };
    expect(await talk(await rawClient(port, encodeProxyHeader({ source, destination: source })))).toBe('HELLO\n');
    expect(log.of('opened')).toMatchObject([
      { peer: source, via: { address: HOST }, security: { protocol: 'TLSv1.3' } },
    ]);
    const both = await rawClient(port, Buffer.concat([encodeProxyHeader({ source, destination: source }), hello]));
    const [reply] = await once(both, 'data');
    expect(reply[0]).toBe(22);
  });
});

describe('the end of a hello is found', () => {
  const isComplete = (pieces: readonly Uint8Array[]) => {
    const reader = new HelloReader();
    return pieces.map((piece) => reader.take(piece));
  };

  it('in one piece, and byte by byte', () => {
    expect(isComplete([hello])).toEqual([true]);
    const bytes = [...hello].map((byte) => Uint8Array.of(byte));
    expect(isComplete(bytes).indexOf(true)).toBe(hello.length - 1);
  });

  it('however it is split into records', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: hello.length - 5 }), { maxLength: 20 }), (lengths) => {
        const message = hello.subarray(5);
        const records: Buffer[] = [];
        let from = 0;
        for (const length of [...lengths, message.length]) {
          const part = message.subarray(from, from + length);
          if (part.length === 0) break;
          records.push(Buffer.concat([Buffer.of(22, 3, 1, part.length >> 8, part.length & 0xff), part]));
          from += part.length;
        }
        const all = Buffer.concat(records);
        const bytes = [...all].map((byte) => Uint8Array.of(byte));
        expect(isComplete(bytes).indexOf(true)).toBe(all.length - 1);
      }),
    );
  });

  it.each([
    ['another record', '17'],
    ['another message', '16 03 01 00 04 02'],
    ['text', '47'],
    ['an empty record', '16 03 01 00 00'],
    ['a record that is too long', '16 03 01 ff ff'],
  ])('at once for %s, which OpenSSL reports', (_what, hex) => {
    const bytes = hex.split(' ').map((byte) => Uint8Array.of(Number.parseInt(byte, 16)));
    expect(isComplete(bytes).indexOf(true)).toBe(bytes.length - 1);
  });

  it('after 64 KiB at the latest', () => {
    const reader = new HelloReader();
    const record = Buffer.concat([Buffer.of(22, 3, 1, 0x40, 0), Buffer.alloc(16 * 1024, 0xff)]);
    record[5] = 1;
    const taken = Array.from({ length: 5 }, () => reader.take(record));
    expect(taken.indexOf(true)).toBe(3);
  });
});

/** The type of the field with the checksum. */
const CHECKSUM = 3;

/** The source of a header that is valid and has no checksum. */
function sourceWithoutChecksum(bytes: Uint8Array): string | undefined {
  try {
    const decoded = decodeProxyHeader(bytes);
    if (decoded.kind !== 'header' || decoded.header.tlvs.some(({ type }) => type === CHECKSUM)) return undefined;
    return decoded.header.source?.address;
  } catch {
    return undefined;
  }
}

/** Changed hellos and PROXY headers, sent over real sockets; `RUNS=100000` for many. */
describe('of changed first bytes', () => {
  const runs = Number(process.env.RUNS ?? 300);
  const change = fc.record({
    at: fc.nat(600),
    with: fc.uint8Array({ minLength: 0, maxLength: 4 }),
    drops: fc.nat(3),
    cut: fc.option(fc.nat(600)),
  });

  it.each<[string, ServeOptions]>([
    ['a hello', {}],
    ['a PROXY header of version 2 and a hello', { proxy: PROXIED }],
  ])('%s crashes nothing, spoofs no address, and disturbs no other connection', async (_what, options) => {
    const { log, port } = await open({ ...options, handshake: 60_000, waiting: { max: 10_000 } });
    const source = { address: '192.0.2.1', port: 1000 };
    const header = options.proxy ? encodeProxyHeader({ source, destination: source, checksum: true }) : Buffer.alloc(0);
    const first = Buffer.concat([header, hello]);
    const neighbour = await rawClient(port, header);
    const secure = connectTls({ socket: neighbour, ca: root.ca, servername: 'localhost' });
    sockets.push(secure);
    /** What the header names where the changes have removed its checksum as well: only then it can be another address. */
    const named = new Set<string | undefined>([HOST, source.address, undefined]);
    let count = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        let bytes = first;
        for (const { at, with: added, drops, cut } of changes) {
          const where = at % (bytes.length + 1);
          bytes = Buffer.concat([bytes.subarray(0, where), added, bytes.subarray(where + drops)]);
          if (cut !== null) bytes = bytes.subarray(0, Math.max(1, cut % (bytes.length + 1)));
        }
        if (options.proxy) named.add(sourceWithoutChecksum(bytes));
        const socket = await rawClient(port, bytes);
        socket.end();
        socket.resume();
        await new Promise((resolve) => socket.on('close', resolve).on('end', () => socket.destroy()));
        if (++count % 20 === 0) {
          secure.write(`${count}\n`);
          const [reply] = await once(secure, 'data');
          expect(String(reply)).toBe(`${count}\n`);
        }
      }),
      { numRuns: runs },
    );
    const addresses = new Set([...log.of('opened'), ...log.of('refused')].map(({ peer }) => peer.address));
    expect([...addresses].filter((address) => !named.has(address))).toEqual([]);
    await log.until(({ counters }) => counters.waiting === 0, 'the end of all changed connections');
    expect(log.counters.active).toBe(1);
  });
});
