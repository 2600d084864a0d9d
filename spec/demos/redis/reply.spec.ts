import fc from 'fast-check';
import { TestScheduler } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';
import { Log } from '../../../demos/redis/append/log.ts';
import type { Peer } from '../../../demos/redis/client.ts';
import { commandOf } from '../../../demos/redis/commands/table.ts';
import { Database } from '../../../demos/redis/database.ts';
import { array, bulk, bulks, lengthOf, Pieces, type Reply, resp3 } from '../../../demos/redis/resp/reply.ts';
import { Session } from '../../../demos/redis/session.ts';

const MEBIBYTE = 1024 * 1024;
const text = (reply: Reply): string => (typeof reply === 'string' ? reply : reply.join(''));

describe('a reply', () => {
  it('has the same bytes in one piece or in several, and only a single value makes a piece longer than 1 MiB', () => {
    const near = fc.integer({ min: MEBIBYTE - 20, max: MEBIBYTE + 20 });
    const length = fc.oneof({ weight: 3, arbitrary: fc.nat(30) }, near);
    fc.assert(
      fc.property(fc.array(length, { maxLength: 5 }), (lengths) => {
        const values = lengths.map((size, index) => String(index).repeat(size));
        const reply = bulks(values);
        expect(text(reply) === `*${values.length}\r\n${values.map(bulk).join('')}`).toBe(true);
        expect(lengthOf(reply)).toBe(text(reply).length);
        for (const piece of typeof reply === 'string' ? [reply] : reply) {
          expect(piece.length <= MEBIBYTE || values.some((value) => piece === bulk(value))).toBe(true);
        }
        const nested = array([resp3.map([bulk('a'), reply]), resp3.set([reply])]);
        expect(text(nested) === `*2\r\n%1\r\n${bulk('a')}${text(reply)}~1\r\n${text(reply)}`).toBe(true);
      }),
      { numRuns: 15 },
    );
  });

  it('is one string while it is short, and empty if nothing was added', () => {
    const pieces = new Pieces();
    expect(pieces.all).toBe('');
    for (let count = 0; count < 1000; count++) pieces.add('a');
    expect(pieces.all).toBe('a'.repeat(1000));
  });
});

/** 60 MiB, nine times: longer than V8's longest string. It is in memory only once. */
describe('data that is longer than a string can be', () => {
  const value = 'x'.repeat(60 * MEBIBYTE);
  const nine = Array.from({ length: 9 }, (_, index) => `key:${index}`);
  const peer: Peer = {
    address: '',
    localAddress: '',
    push() {},
    close() {},
    abort() {},
    hold: () => true,
    maxReply: 1024 * MEBIBYTE,
    unsent: 0,
    moved: 0,
  };

  it('is sent as a reply, and the changes of its command are kept', () => {
    const db = new Database();
    const session = new Session(db, peer, commandOf);
    for (const key of nine) session.handle(['SET', key, value]);
    session.handle(['MULTI']);
    session.handle(['DECRBY', 'n', '5']);
    for (const key of nine) session.handle(['GET', key]);
    const whole = 9 * bulk(value).length;
    const reply = session.handle(['EXEC']);
    expect(lengthOf(reply)).toBe('*10\r\n:-5\r\n'.length + whole);
    expect(typeof reply === 'string' ? reply : reply[0]).toBe('*10\r\n:-5\r\n');
    expect(lengthOf(session.handle(['MGET', ...nine]))).toBe('*9\r\n'.length + whole);
    session.handle(['RPUSH', 'list', ...nine.map(() => value)]);
    expect(lengthOf(session.handle(['LPOP', 'list', '9']))).toBe('*9\r\n'.length + whole);
    expect(db.store.find('list')).toBeUndefined();
  });

  it('is logged, as a transaction or as one command', () => {
    const written: string[] = [];
    const write = (bytes: Uint8Array): number => {
      if (written.length > 0) throw new Error('ENOSPC');
      written.push(Buffer.from(bytes).toString());
      return bytes.length;
    };
    const db = new Database();
    const log = new Log({ write, sync() {}, close() {} }, 1, new TestScheduler(() => {}));
    db.keep(log);
    const session = new Session(db, peer, commandOf);
    session.handle(['MULTI']);
    for (const key of nine) session.handle(['SET', key, value]);
    expect(session.handle(['EXEC'])).toBe(`*9\r\n${'+OK\r\n'.repeat(9)}`);
    expect(session.handle(['MSET', ...nine.flatMap((key) => [key, value])])).toBe('+OK\r\n');
    log.flush();
    expect(written).toEqual([`*1\r\n${bulk('MULTI')}*3\r\n${bulk('SET')}${bulk('key:0')}`]);
    expect(log.problem).toBe('ENOSPC');
  });
});
