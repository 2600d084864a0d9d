import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { client, closeClients } from '../../support/client.ts';
import { isInstalled, RealRedis } from './support/realRedis.ts';
import { request } from './support/request.ts';
import { endServers, RedisServer } from './support/server.ts';

/** The default tests of redis-benchmark, as far as this server has their commands. */
const tests = 'ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,lpush,lrange,mset';
const titles = [
  'PING_INLINE',
  'PING_MBULK',
  'SET',
  'GET',
  'INCR',
  'LPUSH',
  'RPUSH',
  'LPOP',
  'RPOP',
  'SADD',
  'HSET',
  'SPOP',
  'LPUSH (needed to benchmark LRANGE)',
  'LRANGE_100 (first 100 elements)',
  'LRANGE_300 (first 300 elements)',
  'LRANGE_500 (first 500 elements)',
  'LRANGE_600 (first 600 elements)',
  'MSET (10 keys)',
];

describe.runIf(isInstalled('redis-cli') && isInstalled('redis-benchmark'))('the programs of Redis', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(endServers);

  it('redis-cli shows the replies and errors of Redis', async () => {
    expect(await server.cli('SET', 'greeting', 'hello\nthere')).toBe('OK');
    expect(await server.cli('GET', 'greeting')).toBe('hello\nthere');
    expect(await server.cli('LPUSH', 'greeting', 'x')).toContain('WRONGTYPE Operation against a key holding the wrong');
    expect(await server.cli('NOSUCH', 'a')).toBe("ERR unknown command 'NOSUCH', with args beginning with: 'a'");
    expect(await server.cli('-3', 'HELLO')).toContain('proto 3');
    expect((await server.run('redis-cli', [], 'MULTI\nINCR n\nINCR n\nEXEC\n')).stdout).toBe(
      'OK\nQUEUED\nQUEUED\n1\n2\n',
    );
  });

  it('redis-cli --pipe sends 100 000 commands and gets as many replies', async () => {
    const count = 100_000;
    let commands = '';
    for (let index = 0; index < count; index++) commands += request(['SET', `pipe:${index}`, `value ${index}`]);
    const { code, stdout } = await server.run('redis-cli', ['--pipe'], commands);
    expect(stdout).toContain(`errors: 0, replies: ${count}`);
    expect(code).toBe(0);
    expect(await server.cli('GET', `pipe:${count - 1}`)).toBe(`value ${count - 1}`);
    expect(Number(await server.cli('DBSIZE'))).toBeGreaterThanOrEqual(count);
  });

  it.each([1, 16])('redis-benchmark runs all of its tests with %d requests in flight', async (pipeline) => {
    const many = 1000;
    await server.cli('FLUSHALL');
    const args = ['--csv', '-n', String(many), '-P', String(pipeline), '-t', tests];
    const { code, stdout, stderr } = await server.run('redis-benchmark', args);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const rows = stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.slice(1, -1).split('","'));
    expect(rows.map(([title]) => title)).toEqual(titles);
    for (const [, rate] of rows) expect(Number(rate)).toBeGreaterThan(0);
    expect(Number(await server.cli('GET', 'counter:__rand_int__'))).toBeGreaterThanOrEqual(many);
    expect(Number(await server.cli('LLEN', 'mylist'))).toBeGreaterThanOrEqual(many);
    expect(await server.cli('TYPE', 'myhash')).toBe('hash');
  });

  it('redis-cli is refused with an error above --maxclients, and served after another client has left', async () => {
    const small = await RedisServer.start('--maxclients', '2');
    const [first, second] = [client(small.port), client(small.port)];
    for (const each of [first, second]) await each.write('PING\r\n').whenRead('+PONG\r\n');
    const third = await client(small.port).whenClosed();
    expect(third.text).toBe('-ERR max number of clients reached\r\n');
    expect(third.fault).toBeUndefined();
    expect(await small.cli('PING')).toContain('ERR max number of clients reached');
    await first.write('INFO stats\r\n').whenRead('rejected_connections:2\r\n');
    await second.write('QUIT\r\n').whenClosed();
    await expect.poll(() => small.cli('PING')).toBe('PONG');
    expect(await small.cli('CONFIG', 'GET', 'maxclients')).toBe('maxclients\n2');
    // The port that was bound, because port 0 was requested.
    expect(await small.cli('CONFIG', 'GET', 'port')).toBe(`port\n${small.port}`);
  });
});

describe('a client that is slow or silent', () => {
  afterEach(closeClients);
  afterEach(endServers);

  /** Subscribes and stops reading, while another client publishes until no subscriber is left. */
  async function overflow(where: NetConnectOpts): Promise<{ published: number; received: number }> {
    const slow = connect(where).on('error', () => {});
    slow.write('SUBSCRIBE news\r\n');
    await once(slow, 'data');
    slow.pause();
    const publisher = connect(where);
    const publish = request(['PUBLISH', 'news', 'x'.repeat(256 * 1024)]);
    let published = 0;
    do publisher.write(publish);
    while ((await answer(publisher)) === ':1\r\n' && ++published < 400);
    publisher.destroy();
    let received = 0;
    slow.on('data', (bytes) => {
      received += bytes.length;
    });
    const over = once(slow, 'close');
    slow.resume();
    await over;
    return { published, received };
  }

  const answer = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

  it.runIf(isInstalled('redis-server'))(
    'is disconnected as a subscriber at the limit at which Redis disconnects it',
    async () => {
      const limit = 8 * 1024 * 1024;
      const server = await RedisServer.start('--pubsub-hard', String(limit));
      const ours = await overflow({ port: server.port });
      expect(await server.whenLogged('closed')).toMatchObject({
        reason: 'aborted',
        detail: expect.stringContaining('unsent'),
      });
      const real = await RealRedis.start(['--client-output-buffer-limit', 'pubsub', String(limit), '0', '0']);
      const theirs = await overflow({ path: join(real.folder, 'socket') }).finally(() => real.stop());
      for (const { published, received } of [ours, theirs]) {
        expect(published).toBeLessThan(400);
        // Data in flight may arrive; data in the server's queue does not.
        expect(published * 256 * 1024 - received).toBeGreaterThan(limit - 512 * 1024);
      }
    },
  );

  it('is disconnected as a subscriber that stays above --pubsub-soft, unless it has caught up', async () => {
    const server = await RedisServer.start('--pubsub-soft', '1000000', '--pubsub-seconds', '10');
    const [slow, late, publisher] = [client(server.port), client(server.port), client(server.port)];
    for (const each of [slow, late]) {
      await each.write('SUBSCRIBE news\r\n').whenRead(':1\r\n');
      each.socket.pause();
    }
    for (let index = 0; index < 20; index++) publisher.write(request(['PUBLISH', 'news', 'x'.repeat(1_000_000)]));
    await publisher.whenRead(':2\r\n'.repeat(20));
    late.socket.resume();
    await late.until(({ received }) => received > 20_000_000, 'all that was published');
    expect(await server.whenLogged('closed')).toMatchObject({ reason: 'aborted', id: 1 });
    await publisher.write(request(['PUBLISH', 'news', 'the last one'])).whenRead(`${':2\r\n'.repeat(20)}:1\r\n`);
    await late.whenRead('the last one');
  });

  it('is closed when it is silent for longer than --timeout, unless it has subscribed', async () => {
    const server = await RedisServer.start('--timeout', '1');
    const [silent, subscriber] = [client(server.port), client(server.port)];
    await silent.write('PING\r\n').whenRead('+PONG\r\n');
    await subscriber.write('SUBSCRIBE news\r\n').whenRead(':1\r\n');
    await silent.whenClosed();
    expect(silent.fault).toBeUndefined();
    expect(await server.whenLogged('closed')).toMatchObject({
      reason: 'completed',
      detail: expect.stringContaining('1000 ms'),
      id: 1,
    });
    await client(server.port)
      .write(request(['PUBLISH', 'news', 'still there?']))
      .whenRead(':1\r\n');
    await subscriber.whenRead('still there?');
  });
});
