import fc from 'fast-check';
import { EMPTY, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { RequestDecoder, requests } from '../../../demos/memcached/protocol.ts';
import {
  BLANK,
  exchange,
  FrameInvalidError,
  FrameTooLongError,
  FrameTruncatedError,
  PENDING,
} from '../../../lib/index.ts';
import { marbles } from '../../support/marbles.ts';
import { TestServer } from '../../support/testServer.ts';
import { bytesOf, decode, splitAt } from './support.ts';

const key = fc.string({ unit: fc.constantFrom('a', 'b', '\xe9', '\xff', ':'), minLength: 1, maxLength: 260 });
const data = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const end = fc.constantFrom('\r\n', '\n');
const noreply = fc.constantFrom('', ' noreply');
const storage = fc
  .tuple(fc.constantFrom('set', 'add', 'append'), key, fc.nat(), fc.integer(), data, end, noreply)
  .map(([verb, k, flags, exptime, d, e, n]) => `${verb} ${k} ${flags} ${exptime} ${d.length}${n}${e}${d}\r\n`);
const metaSet = fc
  .tuple(key, data, fc.constantFrom('', ' T30 k', ' Oxy c q', ' ?', ' b'))
  .map(([k, d, flags]) => `ms ${k} ${d.length}${flags}\r\n${d}\r\n`);
const plain = fc.constantFrom(
  'get a b c',
  'gets a',
  'mg a v t',
  'delete a',
  '',
  'nonsense',
  'verbosity 1',
  'mn',
  'set a b',
);
const text = fc.array(
  fc.oneof(
    storage,
    metaSet,
    fc.tuple(plain, end).map(([line, e]) => line + e),
  ),
  { maxLength: 8 },
);

const packet = fc
  .record({
    opcode: fc.integer({ min: 0, max: 0x25 }),
    extras: fc.constantFrom(0, 4, 8, 20),
    key,
    value: fc.uint8Array({ maxLength: 200 }),
    opaque: fc.nat(),
    cas: fc.bigInt(0n, 2n ** 64n - 1n),
  })
  .map(({ opcode, extras, key, value, opaque, cas }) => {
    const bytes = Buffer.alloc(24 + extras + key.length + value.length, 1);
    bytes[0] = 0x80;
    bytes[1] = opcode;
    bytes.writeUInt16BE(key.length, 2);
    bytes[4] = extras;
    bytes.writeUInt32BE(bytes.length - 24, 8);
    bytes.writeUInt32BE(opaque, 12);
    bytes.writeBigUInt64BE(cas, 16);
    bytes.write(key, 24 + extras, 'latin1');
    bytes.set(value, 24 + extras + key.length);
    return bytes.toString('latin1');
  });

describe('requests', () => {
  it(
    'emits nothing for an empty source, and completes with it',
    marbles(({ expectObservable }) => expectObservable(EMPTY.pipe(requests())).toBe('|')),
  );

  it('decodes the same requests however the bytes are chunked', () => {
    const places = fc.array(fc.nat({ max: 4000 }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.oneof(text, fc.array(packet, { maxLength: 6 })), places, (stream, splits) => {
        const bytes = bytesOf(stream.join(''));
        const whole = decode([bytes], { maxItem: 300 });
        expect(decode(splitAt(bytes, splits), { maxItem: 300 })).toEqual(whole);
        const single = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
        expect(decode(single, { maxItem: 300 })).toEqual(whole);
      }),
    );
  });

  it('decodes any bytes without throwing, and alike in any chunks', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), fc.array(fc.nat({ max: 500 })), (bytes, splits) => {
        expect(decode(splitAt(bytes, splits))).toEqual(decode([bytes]));
      }),
    );
  });

  it('emits the data of a storage command', () => {
    const [found] = decode([bytesOf('set k 5 60 3\r\nabc\r\n')]);
    expect(found).toEqual([
      { type: 'storage', mode: 'set', key: 'k', flags: 5, exptime: 60, cas: 0, noreply: false, data: bytesOf('abc') },
    ]);
  });

  it('emits data that retain no other memory', () => {
    for (const length of [0, 10, 100, 1000, 5000, 100_000]) {
      const bytes = bytesOf(`set k 0 0 ${length}\r\n${'x'.repeat(length)}\r\n`);
      for (const chunks of [[bytes], splitAt(bytes, [length >> 1, length])]) {
        const [[request]] = decode(chunks);
        if (request?.type !== 'storage') throw new Error('no such request');
        expect([request.data.length, request.data.buffer.byteLength]).toEqual([length, length]);
      }
    }
  });

  it('skips data that are too large, and continues after them', () => {
    const [found] = decode([bytesOf('set k 0 0 300\r\n'), Buffer.alloc(300, 'x'), bytesOf('\r\nmn\r\n')], {
      maxItem: 200,
    });
    expect(found).toEqual([
      { type: 'refused', reply: 'SERVER_ERROR object too large for cache', tooLarge: true, drop: 'k' },
      { type: 'command', words: ['mn'] },
    ]);
  });

  it('buffers nothing of what it skips', () => {
    const decoder = new RequestDecoder({ maxItem: 1024, maxLine: 1024 });
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    expect(decoder.decode({ bytes: bytesOf(`set k 0 0 ${256 * chunk.length}\r\n`), at: 0 })).toMatchObject({
      type: 'refused',
    });
    const before = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 256; count += 1) expect(decoder.decode({ bytes: chunk, at: 0 })).toBe(PENDING);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
    expect(decoder.decode({ bytes: bytesOf('\r\n'), at: 0 })).toBe(BLANK);
    expect(decoder.buffered).toBe(0);
  });

  it('buffers no more than has arrived, whatever is announced and however it is chunked', () => {
    const announced = fc.nat({ max: 2_000_000_000 });
    const begun = fc.oneof(
      announced.map((length) => bytesOf(`set k 0 0 ${length}\r\nabc`)),
      announced.map((length) => bytesOf(`ms k ${length}\r\nabc`)),
      announced.map((length) => bytesOf(`nonsense k 0 0 ${length}\r\nabc`)),
      fc.tuple(packet, announced).map(([bytes, length]) => {
        const begun = bytesOf(bytes);
        begun.writeUInt32BE(length, 8);
        return begun;
      }),
    );
    fc.assert(
      fc.property(begun, fc.array(fc.nat({ max: 600 }), { maxLength: 5 }), (bytes, splits) => {
        const decoder = new RequestDecoder({ maxItem: 1024, maxLine: 1024 });
        let arrived = 0;
        for (const chunk of splitAt(bytes, splits)) {
          arrived += chunk.length;
          const input = { bytes: Buffer.from(chunk), at: 0 };
          try {
            while (decoder.decode(input) !== PENDING);
          } catch {
            return;
          }
          expect(decoder.memory).toBeLessThanOrEqual(arrived);
        }
      }),
    );
  });

  it('counts data as buffered until their line end or the last part has arrived', () => {
    const text = new RequestDecoder({ maxItem: 1024, maxLine: 1024 });
    text.decode({ bytes: bytesOf(`set k 0 0 500\r\n${'x'.repeat(500)}`), at: 0 });
    expect(text.memory).toBe(500);
    const binary = new RequestDecoder({ maxItem: 1024, maxLine: 1024 });
    const header = Buffer.alloc(24 + 8 + 100);
    header.writeUInt8(0x80, 0);
    header.writeUInt8(0x01, 1);
    header.writeUInt16BE(100, 2);
    header.writeUInt8(8, 4);
    header.writeUInt32BE(8 + 100 + 50, 8);
    binary.decode({ bytes: header, at: 0 });
    expect(binary.memory).toBe(24 + 108);
  });

  it.each([
    ['text', bytesOf('set k 0 0 2000000000\r\n')],
    ['binary', Buffer.from(`${'800100010800000077359400'.padEnd(48, '0')}${'00'.repeat(9)}`, 'hex')],
  ])('lets no client exhaust the budget with data that it only announces: %s', async (_, announcement) => {
    const server = await TestServer.open(
      exchange(requests(), () => 'OK'),
      { budget: 1_000_000 },
    );
    const hoarder = await server.connect();
    hoarder.write(announcement);
    await server.clock.settle();
    const other = await server.connect();
    other.write('mn\r\n');
    await server.clock.settle();
    expect([server.log.refusals, other.text]).toEqual([[], 'OK']);
  });

  it('allocates no more memory for data than has arrived', () => {
    const decoder = new RequestDecoder({ maxItem: 512 * 1024 * 1024, maxLine: 1024 });
    const before = process.memoryUsage().arrayBuffers;
    expect(decoder.decode({ bytes: bytesOf(`set k 0 0 ${500 * 1024 * 1024}\r\nabc`), at: 0 })).toBe(PENDING);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  it('refuses data that are longer than announced, and continues right after the announced length', () => {
    const [found] = decode([bytesOf('set k 0 0 2\r\nabcdef\r\nmn\r\n')]);
    expect(found).toMatchObject([
      { type: 'refused', reply: 'CLIENT_ERROR bad data chunk' },
      { type: 'command', words: ['ef'] },
      { type: 'command', words: ['mn'] },
    ]);
  });

  it.each(['quit\r\n', 'GET / HTTP/1.1\r\n'])('completes after %j', (line) => {
    expect(decode([bytesOf(`${line}get k\r\n`)])).toEqual([[{ type: 'end' }], 'complete']);
  });

  it('errors at a line that is too long, whether its end has arrived or not', () => {
    const line = bytesOf('x'.repeat(2049));
    expect(decode([line])).toEqual([[], new FrameTooLongError(2048, 2049)]);
    expect(decode([bytesOf(`${'x'.repeat(2048)}\n`)])[1]).toBe('open');
    expect(decode([line.subarray(0, 2000), line.subarray(2000), bytesOf('\n')])).toEqual([
      [],
      new FrameTooLongError(2048, 2049),
    ]);
  });

  it('allows a longer list of keys, up to a limit of its own', () => {
    const keys = Array.from({ length: 500 }, (_, index) => `key-${index}`);
    const bytes = bytesOf(`get ${keys.join(' ')}\r\n`);
    expect(decode(splitAt(bytes, [1000, 2500]))).toEqual([[{ type: 'command', words: ['get', ...keys] }], 'open']);
    expect(decode([bytes], { maxLine: 3000 })[1]).toBeInstanceOf(FrameTooLongError);
  });

  it('errors when the input ends in the middle of a request', () => {
    for (const part of ['get', 'set k 0 0 3\r\n', 'set k 0 0 3\r\nabc\r', 'set k 0 0 9999999\r\nabc', '\x80']) {
      let error: unknown;
      of(bytesOf(part))
        .pipe(requests())
        .subscribe({
          error: (e) => {
            error = e;
          },
        });
      expect(error, part).toBeInstanceOf(FrameTruncatedError);
    }
  });

  it('stays with the protocol of the first request', () => {
    const noop = Buffer.alloc(24);
    noop[0] = 0x80;
    noop[1] = 0x0a;
    expect(decode([noop, noop])[0]).toHaveLength(2);
    expect(decode([Buffer.concat([noop, bytesOf('get k\r\n'.padEnd(24))])])[1]).toBeInstanceOf(FrameInvalidError);
    // The opcode of a `noop` is a line feed.
    expect(decode([bytesOf('mn\r\n'), noop, bytesOf('\n')])[0]).toHaveLength(3);
  });

  it('refuses invalid limits', () => {
    expect(() => requests({ maxItem: 0 })).toThrow(RangeError);
    expect(() => requests({ maxLine: Number.NaN })).toThrow(RangeError);
    expect(() => requests({ maxKeys: 3 } as object)).toThrow(TypeError);
  });
});
