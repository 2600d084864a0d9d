import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { from, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { ProtocolError, type RequestLimits } from '../../../demos/redis/resp/request.ts';
import { requests } from '../../../demos/redis/resp/requests.ts';
import { FrameTruncatedError } from '../../../lib/index.ts';
import { Borrowed } from '../../support/borrowed.ts';
import { chop, chunkings, watch } from '../../support/bytes.ts';
import { byteString } from './support/arbitraries.ts';
import { request } from './support/request.ts';

const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');
const requestsIn = (text: string, limits?: RequestLimits) => watch(from([bytesOf(text)]).pipe(requests(limits)));
const some = fc.array(fc.array(byteString(), { minLength: 1, maxLength: 5 }), { maxLength: 20 });

describe('requests', () => {
  it('decodes the same requests however the bytes are chunked, in a buffer that is overwritten', () => {
    fc.assert(
      fc.property(some, chunkings, (sent, lengths) => {
        const source = new Borrowed();
        const seen = watch(source.pipe(requests()));
        for (const chunk of chop(bytesOf(sent.map(request).join('')), lengths)) source.push(chunk);
        source.end();
        expect(seen).toEqual({ values: sent, completed: true });
      }),
    );
  });

  it('decodes lines between requests, however the bytes are chunked', () => {
    const word = fc.stringMatching(/^[a-z]{1,20}$/);
    const line = fc.record({
      args: fc.array(word, { minLength: 1, maxLength: 4 }),
      end: fc.constantFrom('\n', '\r\n'),
    });
    const mixed = fc.array(fc.oneof(line, fc.array(byteString(), { minLength: 1, maxLength: 3 })), { maxLength: 10 });
    fc.assert(
      fc.property(mixed, chunkings, (sent, lengths) => {
        const source = new Borrowed();
        const seen = watch(source.pipe(requests()));
        const text = sent
          .map((item) => (Array.isArray(item) ? request(item) : item.args.join(' ') + item.end))
          .join('');
        for (const chunk of chop(bytesOf(text), lengths)) source.push(chunk);
        expect(seen.values).toEqual(sent.map((item) => (Array.isArray(item) ? item : item.args)));
      }),
    );
  });

  it('reads each chunk anew if all of them are in the same buffer', () => {
    const source = new Subject<Uint8Array>();
    const seen = watch(source.pipe(requests()));
    const buffer = bytesOf(request(['GET', '-']));
    for (const name of ['a', 'b', 'c']) {
      buffer.write(request(['GET', name]), 'latin1');
      source.next(buffer);
    }
    expect(seen.values).toEqual([
      ['GET', 'a'],
      ['GET', 'b'],
      ['GET', 'c'],
    ]);
  });

  it('stops after any request while the input is paused, and loses nothing', () => {
    fc.assert(
      fc.property(some, chunkings, (sent, lengths) => {
        const source = new Borrowed();
        const values: (readonly string[])[] = [];
        source.pipe(requests()).subscribe((value) => {
          values.push(value);
          source.control.isPaused = true;
        });
        for (const chunk of chop(bytesOf(sent.map(request).join('')), lengths)) source.push(chunk);
        while (source.control.isPaused) {
          const before = values.length;
          source.open();
          expect(values.length - before).toBeLessThanOrEqual(1);
        }
        expect(values).toEqual(sent);
      }),
    );
  });

  it('counts as buffered what the arguments of an unfinished request cost, not what is announced', () => {
    const source = new Borrowed();
    watch(source.pipe(requests()));
    source.push(bytesOf('*1000000\r\n$67108864\r\n'));
    expect(source.control.buffered).toBeLessThan(100);
    const many = new Borrowed();
    watch(many.pipe(requests()));
    many.push(bytesOf(`*1000000\r\n${'$2\r\nab\r\n'.repeat(1000)}`));
    expect(many.control.buffered).toBeGreaterThan(1000 * (8 + 32));
  });

  it('completes on a drain after the request that has begun', () => {
    const source = new Borrowed();
    const seen = watch(source.pipe(requests()));
    source.push(bytesOf('PING\r\n*1\r\n$4\r\nPI'));
    source.drain();
    expect(seen.completed).toBe(false);
    source.push(bytesOf('NG\r\nPING\r\n'));
    expect(seen).toEqual({ values: [['PING'], ['PING']], completed: true });
  });

  it('does not count an empty array or an empty line as the beginning of a request', () => {
    for (const text of ['*0\r\n', '*-1\r\n', '\r\n', '  \r\n'])
      expect(requestsIn(text)).toEqual({ values: [], completed: true });
  });

  it.each(['*', '*1', '*1\r\n', '*2\r\n$1\r\na\r\n', '*1\r\n$4\r\nPI', '*1\r\n$4\r\nPING\r', 'PING', 'PING\r'])(
    'does not emit %j if the input ends there',
    (text) => {
      const { values, error } = requestsIn(text);
      expect(values).toEqual([]);
      expect(error).toEqual(new FrameTruncatedError(text.length));
    },
  );

  it.each([
    ['*2000000\r\n', 'invalid multibulk length'],
    ['*1\r\n$67108865\r\n', 'invalid bulk length'],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n:1\r\n', "expected '$', got ':'"],
    ['GET "a\r\n', 'unbalanced quotes in request'],
    ['x'.repeat(65_537), 'too big inline request'],
    [`*${'1'.repeat(65_537)}`, 'too big mbulk count string'],
    [`*1\r\n$${'1'.repeat(65_537)}`, 'too big bulk count string'],
  ])('refuses %.20j with the message of Redis', (text, problem) => {
    const source = new Borrowed();
    const seen = watch(source.pipe(requests()));
    for (const chunk of chop(bytesOf(`PING\r\n${text}`), [40_000])) source.push(chunk);
    expect(seen.values).toEqual([['PING']]);
    expect(seen.error).toBeInstanceOf(ProtocolError);
    expect(seen.error).toMatchObject({ reply: `ERR Protocol error: ${problem}` });
    expect(source.control.closedAs).toEqual([seen.error]);
  });

  it('applies smaller limits, and allows a request that just fits', () => {
    expect(requestsIn('*2\r\n$2\r\nab\r\n$3\r\n', { maxBulk: 2 }).error).toBeInstanceOf(ProtocolError);
    expect(requestsIn('*1\r\n$2\r\nab\r\n', { maxBulk: 2 }).values).toEqual([['ab']]);
    expect(requestsIn('*3\r\n', { maxArguments: 2 }).error).toBeInstanceOf(ProtocolError);
    expect(requestsIn('abcd\r\n', { maxLine: 6 }).values).toEqual([['abcd']]);
    expect(requestsIn('abcde\r\n', { maxLine: 6 }).error).toBeInstanceOf(ProtocolError);
  });

  it('takes time in proportion to the bytes when they arrive one by one', () => {
    const length = 1_000_000;
    const source = new Borrowed();
    const seen = watch(source.pipe(requests()));
    source.push(bytesOf(`*1\r\n$${length}\r\n`));
    const byte = bytesOf('x');
    for (let at = 0; at < length; at++) source.push(byte);
    source.push(bytesOf('\r\n'));
    expect(seen.values[0]?.[0]).toBe('x'.repeat(length));
  });

  it('takes no memory for bytes that are only announced', () => {
    const before = process.memoryUsage().arrayBuffers;
    const sources = Array.from({ length: 100 }, () => new Borrowed());
    const buffers = process.memoryUsage().arrayBuffers - before;
    for (const source of sources) {
      source.pipe(requests()).subscribe();
      source.push(bytesOf('*1\r\n$60000000\r\nx'));
    }
    expect(process.memoryUsage().arrayBuffers - before - buffers).toBeLessThan(1_000_000);
  });

  it('does not retain a chunk for a name that is stored', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const names: string[] = [];
    const source = new Borrowed();
    source.pipe(requests()).subscribe(([name, key]) => {
      if (name === 'SET' && key !== undefined) names.push(key);
    });
    const filler = request(['x', 'y'.repeat(50_000)]);
    collect();
    const before = process.memoryUsage();
    for (let count = 0; count < 1500; count++) {
      const long = request(['SET', `a name of more than twelve bytes ${count}`]);
      source.push(bytesOf(request(['SET', `short${count}`]) + long + filler));
    }
    collect();
    const after = process.memoryUsage();
    // Retained chunks would take 1500 times 50 KB or more; the engine's own use varies by a few megabytes.
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(20_000_000);
    expect(names.length).toBe(3000);
  });
});
