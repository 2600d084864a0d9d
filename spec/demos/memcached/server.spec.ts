import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client as Memjs } from 'memjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { clearPath } from '../../../demos/memcached/socket-path.ts';
import { type Client, client, closeClients } from '../../support/client.ts';
import { spawnDemo } from '../../support/spawnDemo.ts';
import { proxied } from '../../support/throughProxy.ts';
import { Original, skipped as withoutOriginal } from './original.ts';
import { countUp } from './pipeline.ts';
import { type Running, start, stopAll } from './running.ts';
import { missing, run, skipped as withoutTools } from './tools.ts';

if (withoutTools) console.warn(`${missing.join(' and ')} not installed: not tested with libmemcached's tools`);
if (withoutOriginal) console.warn('memcached is not installed: not compared with the original');

const FAREWELL = 'ERROR Too many open connections\r\n';

let folder: string;
/** A server without any flag. */
let plain: Running;
/** A server with narrow limits. */
let narrow: Running;
/** A server that serves one connection and lets another one wait, on two addresses together. */
let patient: Running;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-memcached-'));
  const limits = ['-c', '3', '-b', '9', '-m', '4', '-I', '1m', '-o', 'idle_timeout=1', '-A', '-vv'];
  const waiting = ['-l', '127.0.0.1:0,127.0.0.1:0', '-c', '1', '-b', '1', '-o', 'no_maxconns_fast'];
  [plain, narrow, patient] = await Promise.all([start(), start(limits), start(waiting, 2)]);
});
afterEach(closeClients);
afterAll(async () => {
  await stopAll();
  rmSync(folder, { recursive: true });
});

/** Sends commands and a `quit` in one write. @returns Everything that is received up to the server's FIN. */
async function ask(where: number | string, commands: string): Promise<string> {
  const asking = client(where).write(`${commands}quit\r\n`);
  await asking.whenClosed();
  expect(asking.fault).toBeUndefined();
  return asking.text;
}

async function statsOf(where: number | string, group = ''): Promise<Record<string, string>> {
  return statsIn(await ask(where, `stats ${group}\r\n`));
}

const statsIn = (text: string): Record<string, string> =>
  Object.fromEntries([...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name, value]));

/** A client that is served, once a slot is free: the server may process the close of another connection a moment later. */
async function served(port: number): Promise<Client> {
  for (;;) {
    const made = await client(port)
      .write('mn\r\n')
      .until(({ received }) => received > 0);
    if (made.text === 'MN\r\n') return made;
    expect(made.text).toBe(FAREWELL);
  }
}

describe.skipIf(withoutTools)("libmemcached's tools", () => {
  it('memccapable passes all tests of both protocols, and of the text protocol alone', async () => {
    const capable = async ({ port }: Running, ...args: string[]) => {
      const { code, output } = await run('memccapable', ['-h', '127.0.0.1', '-p', String(port), ...args]);
      expect(output).toContain('All tests passed');
      expect(output).not.toContain('FAIL');
      expect(code).toBe(0);
      return output.match(/\[pass\]/g)?.length;
    };
    // Each of them flushes its server, and spends most of its time waiting.
    expect(await Promise.all([capable(plain), capable(patient, '-a')])).toEqual([54, 27]);
  });

  it.each([
    ['text', ['-d', '4']],
    ['binary', ['-B']],
  ])('memcaslap reads back what it has stored, with the %s protocol', async (_, args) => {
    expect(await ask(plain.port, 'stats reset\r\n')).toBe('RESET\r\n');
    const load = ['-T', '1', '-c', '8', '-x', '8000', '--verify=0.5'];
    const { code, output } = await run('memcaslap', ['-s', `127.0.0.1:${plain.port}`, ...load, ...args]);
    const figure = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(output)?.[1]);
    expect(code).toBe(0);
    expect(figure('cmd_get') + figure('cmd_set')).toBeGreaterThanOrEqual(8000);
    expect([figure('get_misses'), figure('verify_misses'), figure('verify_failed')]).toEqual([0, 0, 0]);
    const stats = await statsOf(plain.port);
    expect(stats).toMatchObject({ get_misses: '0', rejected_connections: '0' });
    // A proxy checks its backends over connections of its own.
    if (!proxied) expect(stats.total_connections).toBe('9');
    expect(Number(stats.cmd_get) + Number(stats.cmd_set)).toBeGreaterThanOrEqual(8000);
  });
});

describe('memjs', () => {
  it('stores, changes and finds values', async () => {
    const memjs = Memjs.create(`127.0.0.1:${plain.port}`, { retries: 1, timeout: 5 });
    try {
      const value = async (key: string) => (await memjs.get(key)).value?.toString() ?? null;
      expect(await memjs.set('memjs', 'one', {})).toBe(true);
      expect(await value('memjs')).toBe('one');
      expect(await memjs.add('memjs', 'two', {})).toBe(false);
      expect(await memjs.replace('memjs', 'three', { expires: 100 })).toBe(true);
      expect(await memjs.append('memjs', ' four')).toBe(true);
      expect(await memjs.touch('memjs', 50)).toBe(true);
      expect(await value('memjs')).toBe('three four');
      expect(await memjs.delete('memjs')).toBe(true);
      expect(await memjs.delete('memjs')).toBe(false);
      expect(await value('memjs')).toBeNull();
      expect(await memjs.increment('memjs-n', 5, { initial: 40 })).toEqual({ success: true, value: 40 });
      expect(await memjs.increment('memjs-n', 5, { initial: 40 })).toEqual({ success: true, value: 45 });
      expect(await memjs.decrement('memjs-n', 3, { initial: 0 })).toEqual({ success: true, value: 42 });
      const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, at) => (at * 7) % 256));
      expect(await memjs.set('memjs-bytes', bytes, {})).toBe(true);
      expect((await memjs.get('memjs-bytes')).value?.equals(bytes)).toBe(true);
      const stats = await new Promise<Record<string, string>>((resolve, reject) =>
        memjs.stats((error, _server, found) => (error ? reject(error) : resolve(found))),
      );
      expect(stats).toMatchObject({ version: '1.6.18' });
    } finally {
      memjs.close();
    }
  });
});

describe.skipIf(withoutOriginal)('the original', () => {
  it('gives the same replies to the same bytes', async () => {
    const big = 'b'.repeat(300_000);
    const huge = 'h'.repeat(1_100_000);
    const script = [
      ...['set a 5 0 3\r\nabc\r\n', 'get a b\r\n', 'append a 0 0 2\r\n\0\n\r\n', 'get a\r\n', 'gat 100 a\r\n'],
      ...['add a 0 0 1\r\nx\r\n', 'replace zz 0 0 1\r\nx\r\n', 'cas a 0 0 1 999999\r\nx\r\n', 'touch a 0\r\n'],
      ...['set n 0 0 2\r\n10\r\n', 'incr n 5\r\n', 'decr n 100\r\n', 'incr a 1\r\n', 'incr none 1\r\n'],
      ...[`set big 0 0 ${big.length}\r\n${big}\r\n`, 'get big big\r\n', `set a 0 0 ${huge.length}\r\n${huge}\r\n`],
      ...['ms m 2 T0 F3\r\nhi\r\n', 'mg m v f t k\r\n', 'mg none v\r\n', 'ma n N0 J5 v\r\n', 'md m q\r\n', 'md m\r\n'],
      ...['get a\r\n', 'delete n\r\n', 'delete n noreply\r\n', 'get\r\n', 'nonsense\r\n', 'verbosity 0\r\n'],
      ...['flush_all\r\n', 'get big\r\n'],
    ].join('');
    const original = await Original.start();
    try {
      const expected = await original.ask(script);
      expect(expected.length).toBeGreaterThan(600_000);
      const ours = await ask(plain.port, script);
      expect(ours.length).toBe(expected.length);
      expect(ours === expected).toBe(true);
    } finally {
      await original.stop();
    }
  });
});

describe('connections', () => {
  it('are refused with an error above the limit, and counted', async () => {
    const { port } = narrow;
    await ask(port, 'stats reset\r\n');
    const [one, two, three] = [client(port), client(port), client(port)];
    for (const served of [one, two, three]) await served.write('mn\r\n').whenRead('MN\r\n');
    const refused = await client(port).whenClosed();
    expect([refused.text, refused.fault]).toEqual([FAREWELL, undefined]);
    await two.write('stats\r\n').whenRead('END\r\n');
    expect(two.text).toContain('STAT max_connections 3\r\nSTAT curr_connections 3\r\n');
    expect(two.text).toContain('STAT total_connections 4\r\nSTAT rejected_connections 1\r\n');
    one.end();
    await one.whenClosed();
    await served(port);
  });

  it('are closed when they are silent for longer than the idle timeout, and only then', async () => {
    const { port } = narrow;
    const busy = await served(port);
    const sending = setInterval(() => busy.write('mn\r\n'), 200);
    try {
      const silent = client(port);
      const greeted = client(port).write('version\r\n');
      await Promise.all([silent.whenClosed(), greeted.whenClosed()]);
      expect([silent.text, silent.fault]).toEqual(['', undefined]);
      expect([greeted.text, greeted.fault]).toEqual(['VERSION 1.6.18\r\n', undefined]);
    } finally {
      clearInterval(sending);
    }
    expect(busy.closed).toBe(false);
    // A connection is counted when it is closed on the server, which may be a moment later.
    while (!busy.text.includes('STAT idle_kicks 2\r\n')) {
      const { received } = busy;
      await busy.write('stats\r\n').until((self) => self.received > received && self.text.endsWith('END\r\n'));
    }
  });

  it('wait with no_maxconns_fast, up to -b of them, at whichever address they arrive', async () => {
    const [first = 0, second = 0] = patient.where.map((at) => Number(at.split(':')[1]));
    expect(first).not.toBe(second);
    const one = await client(first).write('mn\r\n').whenRead('MN\r\n');
    const waiting = await client(second).write('version\r\n').whenConnected();
    const refused = await client(second).whenClosed();
    expect([refused.text, refused.fault]).toEqual([FAREWELL, undefined]);
    expect(waiting.text).toBe('');
    one.write('quit\r\n');
    await waiting.whenRead('VERSION 1.6.18\r\n');
  });
});

describe('items', () => {
  it('are refused if they are too large, and the value that they would replace is removed', async () => {
    const tooLarge = `set k 0 0 2000000\r\n${'x'.repeat(2_000_000)}\r\n`;
    expect(await ask(plain.port, `stats reset\r\nset k 0 0 2\r\nhi\r\n${tooLarge}get k\r\nmn\r\n`)).toBe(
      'RESET\r\nSTORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\nMN\r\n',
    );
    expect(await statsOf(plain.port)).toMatchObject({ store_too_large: '1' });
  });

  it('are evicted, the oldest first, to stay within the memory limit', async () => {
    // Not the server with narrow limits: its idle timeout of 1 s would cut off a client that a busy machine holds up.
    const { port } = await start(['-m', '4', '-I', '1m']);
    const value = 'v'.repeat(100_000);
    const puts = Array.from({ length: 100 }, (_, at) => `set k${at} 0 0 ${value.length} noreply\r\n${value}\r\n`);
    const asked = `flush_all\r\nstats reset\r\n${puts.join('')}get k0\r\nmg k99 s\r\n`;
    expect(await ask(port, asked)).toBe('OK\r\nRESET\r\nEND\r\nHD s100000\r\n');
    const { bytes, evictions, curr_items } = await statsOf(port);
    expect(Number(bytes)).toBeLessThanOrEqual(4 * 1024 * 1024);
    expect(Number(evictions) + Number(curr_items)).toBe(100);
    expect(Number(curr_items)).toBeGreaterThan(35);
  });

  it('are all sent to a peer that reads a reply of many mebibytes slowly', async () => {
    const value = 'v'.repeat(1_000_000);
    const keys = Array.from({ length: 20 }, (_, at) => `slow${at}`);
    await ask(plain.port, keys.map((key) => `set ${key} 0 0 ${value.length} noreply\r\n${value}\r\n`).join(''));
    const slow = client(plain.port);
    slow.socket.pause();
    slow.write(`get ${keys.join(' ')}\r\n`);
    // While the reply is being sent, the server serves other clients.
    for (let count = 0; count < 20; count++) expect(await ask(plain.port, 'mn\r\n')).toBe('MN\r\n');
    const reply = `${keys.map((key) => `VALUE ${key} 0 ${value.length}\r\n${value}\r\n`).join('')}END\r\n`;
    expect(slow.received).toBeLessThan(reply.length);
    slow.socket.resume();
    await slow.until(({ received }) => received >= reply.length, 'all of the reply');
    expect(slow.text === reply).toBe(true);
  });
});

describe('stats', () => {
  it.skipIf(proxied)('reports connections, bytes and settings', async () => {
    const { port } = narrow;
    const asked = 'set k 0 0 2\r\nhi\r\nget k\r\n';
    const replies = 'STORED\r\nVALUE k 0 2\r\nhi\r\nEND\r\n';
    const talking = await served(port);
    await talking.write('stats reset\r\n').whenRead('RESET\r\n');
    await talking.write(asked).whenRead(replies);
    await talking
      .write('stats\r\n')
      .whenRead('END\r\nSTAT')
      .then(() => talking.until(({ text }) => text.endsWith('END\r\n')));
    const stats = statsIn(talking.text);
    expect(stats).toMatchObject({
      ...{ version: '1.6.18', max_connections: '3', curr_connections: '1', total_connections: '0' },
      ...{ accepting_conns: '1', listen_disabled_num: '0', idle_kicks: '0', threads: '1' },
      ...{ cmd_get: '1', cmd_set: '1', get_hits: '1' },
    });
    expect(Number(stats.bytes_read)).toBe(asked.length + 'stats\r\n'.length);
    expect(Number(stats.bytes_written)).toBe(replies.length + 'RESET\r\n'.length);
    expect(await statsOf(port, 'settings')).toMatchObject({
      tcpport: String(port),
      ...{ maxconns: '3', inter: '127.0.0.1', verbosity: '2', idle_timeout: '1', tcp_backlog: '9' },
      ...{ maxconns_fast: 'yes', item_size_max: '1048576', maxbytes: String(4 * 1024 * 1024) },
    });
    const conns = Object.entries(await statsOf(port, 'conns'));
    const own = conns.find(([, value]) => value === `tcp:127.0.0.1:${talking.socket.localPort}`)?.[0].split(':')[0];
    expect(conns.filter(([name]) => name.startsWith('0:'))).toEqual([
      ['0:addr', `tcp:127.0.0.1:${port}`],
      ['0:state', 'conn_listening'],
      ['0:secs_since_last_cmd', expect.stringMatching(/^\d+$/)],
    ]);
    expect(conns.filter(([name]) => name.startsWith(`${own}:`))).toEqual([
      [`${own}:addr`, `tcp:127.0.0.1:${talking.socket.localPort}`],
      [`${own}:listen_addr`, `tcp:127.0.0.1:${port}`],
      [`${own}:state`, 'conn_read'],
      [`${own}:secs_since_last_cmd`, expect.stringMatching(/^\d+$/)],
    ]);
    // The connection that sent the command.
    expect(conns.filter(([, value]) => value === 'conn_parse_cmd')).toHaveLength(1);
  });
});

describe('a shutdown', () => {
  it('answers every executed request under load', async () => {
    const loaded = await start();
    let flowing = 0;
    const load = Array.from({ length: 20 }, (_, at) =>
      countUp(loaded.port, `count${at}`, 32, () => {
        // All clients are running, with requests and replies in flight.
        if (++flowing === 20) loaded.demo.process.kill('SIGTERM');
      }),
    );
    const ended = await Promise.all(load);
    const { code, stdout, stderr } = await loaded.demo.done;
    expect([code, stderr]).toEqual([0, '']);
    for (const { wrong, fault } of ended) expect([wrong, fault]).toEqual([undefined, undefined]);
    const sum = (figures: number[]) => figures.reduce((all, one) => all + one, 0);
    const acknowledged = sum(ended.map((one) => one.acknowledged));
    // The server counts the requests that it executes; each client began with a `set` of its own.
    expect(acknowledged + 20).toBe(Number(/answered (\d+) requests/.exec(stdout)?.[1]));
    expect(sum(ended.map(({ sent }) => sent))).toBeGreaterThan(acknowledged);
    expect(stdout).toContain('"msg":"drained: 20 closed, 0 aborted, 0 refused"');
  });

  it.each([
    ['SIGINT', () => patient, () => patient.demo.process.kill('SIGINT')],
    ['the command `shutdown`', () => narrow, () => client(narrow.port).write('shutdown\r\n')],
  ])('begins on %s, closes idle connections at once, and ends with a report', async (_, which, end) => {
    const { demo, port } = which();
    const idle = await served(port);
    end();
    const { code, stdout, stderr } = await demo.done;
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/"type":"draining".*\n(.*\n)*.*"type":"drained".*\n.*answered \d+ requests in all"\}\n$/);
    expect((await idle.whenClosed()).fault).toBeUndefined();
  });
});

describe('a unix socket', () => {
  it('is taken over from a killed server, and removed at the end', async () => {
    const path = join(folder, 'm.sock');
    const killed = await start(['-s', path]);
    expect(killed.where).toEqual([path]);
    expect(await ask(path, 'version\r\n')).toBe('VERSION 1.6.18\r\n');
    killed.demo.process.kill('SIGKILL');
    await killed.demo.done;
    expect(existsSync(path)).toBe(true);

    const next = await start(['-s', path]);
    expect(await ask(path, 'mn\r\n')).toBe('MN\r\n');
    await clearPath(path);
    expect(await ask(path, 'mn\r\n')).toBe('MN\r\n');
    expect((await next.stop()).code).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  it('does not replace a file', async () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'kept');
    await clearPath(path);
    expect(readFileSync(path, 'utf8')).toBe('kept');
  });
});

describe('the command line', () => {
  it('is answered with one sentence about an impossible value or an address that is taken', async () => {
    const taken = `127.0.0.1:${plain.port}`;
    const all = [['-c', '0'], ['-l', `127.0.0.1:0,${taken}`], ['--help']];
    const ended = await Promise.all(all.map((args) => spawnDemo('memcached/server', args).done));
    const [value, port, help] = ended.map(({ code, stdout, stderr }) => ({ code, stdout, stderr }));
    const failed = (stderr: unknown) => ({ code: 1, stdout: '', stderr });
    expect(value).toEqual(failed('memcached: -c 0: a whole number from 1 to 2147483647 is needed\n'));
    expect(port).toEqual(
      failed(`memcached: cannot listen on 127.0.0.1:0, ${taken}: the port is already taken (EADDRINUSE)\n`),
    );
    expect(help).toEqual({ code: 0, stderr: '', stdout: expect.stringContaining('--conn-limit=<n>') });
  });
});
