import { once } from 'node:events';
import { Redis } from 'ioredis';
import { createClient, RESP_TYPES } from 'redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { client, closeClients } from '../../support/client.ts';
import { endServers, RedisServer } from './support/server.ts';

/** Every possible byte, after line ends in a place where they could confuse a parser. */
const binary = Buffer.concat([Buffer.from('\r\n$3\r\n'), Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))]);

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterEach(closeClients);
afterAll(endServers);
beforeEach(async () => {
  await client(server.port).write('FLUSHALL\r\n').end().whenRead('+OK\r\n');
});

describe('ioredis', () => {
  const made: Redis[] = [];
  const open = (): Redis => {
    const redis = new Redis(server.port, '127.0.0.1');
    made.push(redis);
    return redis;
  };
  afterEach(() => {
    for (const redis of made.splice(0)) redis.disconnect();
  });

  it('sends a pipeline and gets its replies in order', async () => {
    const pipeline = open().pipeline();
    for (let index = 0; index < 1000; index++) pipeline.set(`key:${index}`, index).get(`key:${index}`);
    const replies = (await pipeline.exec()) ?? [];
    expect(replies.filter(([error]) => error !== null)).toEqual([]);
    expect(replies.map(([, reply]) => reply)).toEqual(
      Array.from({ length: 1000 }, (_, index) => ['OK', String(index)]).flat(),
    );
  });

  it('executes a transaction, unless a watched key has changed', async () => {
    const [redis, other] = [open(), open()];
    expect(await redis.multi().incr('n').incr('n').exec()).toEqual([
      [null, 1],
      [null, 2],
    ]);
    await redis.watch('n');
    await other.set('n', 10);
    expect(await redis.multi().incr('n').exec()).toBeNull();
    expect(await redis.get('n')).toBe('10');
    await expect(redis.lpush('n', 'x')).rejects.toThrow('WRONGTYPE');
  });

  it('receives what is published to its channels and patterns', async () => {
    const [subscriber, publisher] = [open(), open()];
    expect(await subscriber.subscribe('news', 'weather')).toBe(2);
    expect(await subscriber.psubscribe('n*')).toBe(3);
    const received: unknown[] = [];
    subscriber.on('message', (...message) => received.push(message));
    const last = once(subscriber, 'pmessage');
    expect(await publisher.publish('weather', 'rain')).toBe(1);
    expect(await publisher.publish('news', 'hello')).toBe(2);
    expect(await last).toEqual(['n*', 'news', 'hello']);
    expect(received).toEqual([
      ['weather', 'rain'],
      ['news', 'hello'],
    ]);
    expect(await subscriber.unsubscribe('weather')).toBe(2);
    expect(await publisher.publish('weather', 'sun')).toBe(0);
  });

  it('scans every key once', async () => {
    const redis = open();
    const keys = Array.from({ length: 2500 }, (_, index) => `scan:${index}`);
    await redis.mset(keys.flatMap((key) => [key, 'x']));
    await redis.set('other', 'x');
    const found: string[] = [];
    for await (const batch of redis.scanStream({ match: 'scan:*', count: 100 })) found.push(...batch);
    expect(found.sort()).toEqual(keys.sort());
  });

  it('reads back the bytes that it has stored', async () => {
    const redis = open();
    const large = Buffer.alloc(5_000_000, binary);
    await redis.set(binary, large);
    expect(large.equals((await redis.getBuffer(binary)) ?? Buffer.alloc(0))).toBe(true);
    await redis.hset('hash', binary, binary);
    expect(await redis.hgetBuffer('hash', binary)).toEqual(binary);
    expect(await redis.strlen(binary)).toBe(large.length);
  });
});

describe.each([2, 3] as const)('node-redis with RESP%d', (RESP) => {
  const make = () => createClient({ RESP, socket: { host: '127.0.0.1', port: server.port } });
  const made: { destroy(): void }[] = [];
  const open = async () => {
    const redis = make();
    made.push(redis);
    await redis.connect();
    return redis;
  };
  afterEach(() => {
    for (const redis of made.splice(0)) redis.destroy();
  });

  it('stores and gets values of every kind', async () => {
    const redis = await open();
    expect(await redis.set('key', 'value', { expiration: { type: 'EX', value: 100 } })).toBe('OK');
    expect(await redis.ttl('key')).toBe(100);
    expect(await redis.hSet('hash', { one: '1', two: '2' })).toBe(2);
    expect({ ...(await redis.hGetAll('hash')) }).toEqual({ one: '1', two: '2' });
    expect(await redis.sAdd('set', ['a', 'b', 'a'])).toBe(2);
    expect([...(await redis.sMembers('set'))].sort()).toEqual(['a', 'b']);
    expect(await redis.rPush('list', ['x', 'y', 'z'])).toBe(3);
    expect(await redis.lRange('list', 0, -1)).toEqual(['x', 'y', 'z']);
    expect(await redis.get('nothing')).toBeNull();
    await expect(redis.incr('key')).rejects.toThrow('value is not an integer or out of range');
  });

  it('executes a transaction', async () => {
    const redis = await open();
    expect(await redis.multi().set('n', '1').incrBy('n', 41).get('n').exec()).toEqual(['OK', 42, '42']);
  });

  it('receives what is published', async () => {
    const [subscriber, publisher] = [await open(), await open()];
    const received = new Promise((resolve) => {
      subscriber.subscribe('news', (message, channel) => resolve([channel, message]));
    });
    await expect.poll(() => publisher.publish('news', 'hello')).toBe(1);
    expect(await received).toEqual(['news', 'hello']);
    // In RESP3 messages differ from replies, so a subscriber may send any command.
    if (RESP === 3) expect(await subscriber.set('key', 'value')).toBe('OK');
  });

  it('scans, and reads back the bytes that it has stored', async () => {
    const redis = await open();
    await redis.mSet(Array.from({ length: 500 }, (_, index): [string, string] => [`scan:${index}`, 'x']));
    let found = 0;
    for await (const keys of redis.scanIterator({ MATCH: 'scan:*', COUNT: 50 })) found += keys.length;
    expect(found).toBe(500);
    const buffers = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    await buffers.set(binary, binary);
    expect(await buffers.get(binary)).toEqual(binary);
  });
});
