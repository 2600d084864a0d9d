import { describe, expect, it } from 'vitest';
import { numbers, type Packet, packet, replies, stored } from './packets.ts';
import { bytesOf, cacheOf, decode, replyTo, still } from './support.ts';

/** The replies to some packets. */
function exchange(cache: ReturnType<typeof cacheOf>, ...packets: Packet[]) {
  const [found] = decode([Buffer.concat(packets.map(packet))]);
  return replies(found.map((request) => replyTo(cache, request)).join(''));
}

describe('binary commands', () => {
  it('store and retrieve', () => {
    const cache = cacheOf(still().store);
    const key = '\xff k';
    expect(
      exchange(
        cache,
        { opcode: 0x01, extras: stored, key, value: 'abc' },
        { opcode: 0x0e, key, value: '>' },
        { opcode: 0x0f, key, value: '<' },
        { opcode: 0x00, key },
        { opcode: 0x0c, key },
        { opcode: 0x1c, key, extras: Buffer.alloc(4) },
        { opcode: 0x23, key, extras: Buffer.alloc(4) },
      ),
    ).toEqual([
      { opcode: 0x01, status: 0, cas: 1, extras: '', key: '', value: '' },
      { opcode: 0x0e, status: 0, cas: 2, extras: '', key: '', value: '' },
      { opcode: 0x0f, status: 0, cas: 3, extras: '', key: '', value: '' },
      { opcode: 0x00, status: 0, cas: 3, extras: '00000005', key: '', value: '<abc>' },
      { opcode: 0x0c, status: 0, cas: 3, extras: '00000005', key, value: '<abc>' },
      { opcode: 0x1c, status: 0, cas: 3, extras: '00000005', key: '', value: '' },
      { opcode: 0x23, status: 0, cas: 3, extras: '00000005', key, value: '<abc>' },
    ]);
  });

  it('fail with a status', () => {
    const cache = cacheOf(still().store);
    exchange(cache, { opcode: 0x01, extras: stored, key: 'k', value: 'abc' });
    const statuses = exchange(
      cache,
      { opcode: 0x00, key: 'none' },
      { opcode: 0x02, extras: stored, key: 'k', value: 'x' },
      { opcode: 0x03, extras: stored, key: 'none', value: 'x' },
      { opcode: 0x0e, key: 'none', value: 'x' },
      { opcode: 0x01, extras: stored, key: 'k', value: 'x', cas: 99 },
      { opcode: 0x01, extras: stored, key: 'none', value: 'x', cas: 99 },
      { opcode: 0x04, key: 'k', cas: 99 },
      { opcode: 0x05, key: 'k', extras: numbers(1, 0) },
      { opcode: 0x05, key: 'none', extras: numbers(1, 0, 0xffffffff) },
      { opcode: 0x10, key: 'nothing' },
      { opcode: 0x55, key: 'x', value: 'to be skipped' },
      { opcode: 0x01, extras: stored, key: 'k', value: 'x'.repeat(1024 * 1024) },
      { opcode: 0x00, key: 'k' },
    ).map(({ status, value }) => `${status} ${value}`);
    expect(statuses).toEqual([
      '1 Not found',
      '2 Data exists for key.',
      '1 Not found',
      '5 Not stored.',
      '2 Data exists for key.',
      '1 Not found',
      '2 Data exists for key.',
      '6 Non-numeric server-side value for incr or decr',
      '1 Not found',
      '1 Not found',
      '129 Unknown command',
      '3 Too large.',
      '1 Not found',
    ]);
  });

  it('increment and decrement', () => {
    const cache = cacheOf(still().store);
    const values = exchange(
      cache,
      { opcode: 0x05, key: 'n', extras: numbers(1, 10) },
      { opcode: 0x05, key: 'n', extras: numbers(5, 10) },
      { opcode: 0x06, key: 'n', extras: numbers(20, 10) },
    ).map(({ value }) => bytesOf(value).readBigUInt64BE());
    expect(values).toEqual([10n, 15n, 0n]);
    expect(exchange(cache, { opcode: 0x00, key: 'n' })[0]?.value).toBe('0 ');
  });

  it('are not answered in their quiet form if the outcome is the expected one', () => {
    const cache = cacheOf(still().store);
    const loud = exchange(
      cache,
      { opcode: 0x11, extras: stored, key: 'k', value: '1' },
      { opcode: 0x12, extras: stored, key: 'k', value: '1' },
      { opcode: 0x19, key: 'k', value: '0' },
      { opcode: 0x15, key: 'k', extras: numbers(1, 0) },
      { opcode: 0x09, key: 'k' },
      { opcode: 0x09, key: 'none' },
      { opcode: 0x0d, key: 'none' },
      { opcode: 0x14, key: 'k' },
      { opcode: 0x14, key: 'k' },
      { opcode: 0x18 },
      { opcode: 0x0a },
    );
    expect(loud.map(({ opcode, status, value }) => [opcode, status, value])).toEqual([
      [0x12, 2, 'Data exists for key.'],
      [0x09, 0, '11'],
      [0x14, 1, 'Not found'],
      [0x0a, 0, ''],
    ]);
  });

  it('flush', () => {
    const { store, clock } = still();
    const cache = cacheOf(store);
    exchange(cache, { opcode: 0x11, extras: stored, key: 'k', value: '1' });
    exchange(cache, { opcode: 0x08, extras: Buffer.from([0, 0, 0, 5]) });
    expect(exchange(cache, { opcode: 0x00, key: 'k' })[0]?.status).toBe(0);
    clock.time = 5_000;
    expect(exchange(cache, { opcode: 0x00, key: 'k' })[0]?.status).toBe(1);
    expect(exchange(cacheOf(store, { flushing: false }), { opcode: 0x08 })[0]?.status).toBe(0x20);
  });

  it('return statistics, one packet each, and an empty packet at the end', () => {
    const cache = cacheOf(still().store, { connections: () => [['3:state', 'idle']] });
    expect(exchange(cache, { opcode: 0x10, key: 'conns' }).map(({ key, value }) => [key, value])).toEqual([
      ['3:state', 'idle'],
      ['', ''],
    ]);
    const general = exchange(cache, { opcode: 0x10 });
    expect(general.find(({ key }) => key === 'version')?.value).toBe('1.2.3');
    expect(general.at(-1)).toMatchObject({ key: '', value: '' });
    expect(exchange(cache, { opcode: 0x10, key: 'reset' })).toHaveLength(1);
    expect(exchange(cache, { opcode: 0x0b })[0]?.value).toBe('1.2.3');
  });

  it.each([
    ['quit', packet({ opcode: 0x07 }), 0],
    ['a get without a key', packet({ opcode: 0x00 }), 4],
    ['a set without flags', packet({ opcode: 0x01, key: 'k', value: 'x' }), 4],
    ['a key that is too long', packet({ opcode: 0x00, key: 'k'.repeat(251) }), 4],
    ['lengths that do not add up', Buffer.concat([Buffer.from([0x80, 0, 0, 9]), Buffer.alloc(20)]), 0x81],
  ])('end the connection after %s', (_, bytes, status) => {
    const [found, end] = decode([bytes, packet({ opcode: 0x0a })]);
    expect([found.length, end]).toEqual([1, 'complete']);
    expect(found.map((request) => bytesOf(replyTo(cacheOf(still().store), request)).readUInt16BE(6))).toEqual([status]);
  });

  it('end the connection without a reply to a quiet quit', () => {
    const [found] = decode([packet({ opcode: 0x17 })]);
    expect(found.map((request) => replyTo(cacheOf(still().store), request))).toEqual(['']);
  });
});
