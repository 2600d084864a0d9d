import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../support/adminPort.ts';
import { drainedFromPage } from '../support/drainedFromPage.ts';
import { type Demo, spawnDemo } from '../support/spawnDemo.ts';
import { PATIENCE } from '../support/waitable.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-admin-'));
});
afterAll(() => rm(folder, { recursive: true }));

const running = new Set<Demo>();
afterEach(async () => {
  for (const demo of running) demo.process.kill('SIGKILL');
  await Promise.all([...running].map(({ done }) => done));
  running.clear();
});

function start(name: string, args: readonly string[]): Demo {
  const demo = spawnDemo(name, ['--port', '0', ...args]);
  running.add(demo);
  return demo;
}

/** The fields of the first lines of the log that have these types. */
// biome-ignore lint/suspicious/noExplicitAny: it is what a demo has printed.
async function lines(demo: Demo, ...types: readonly string[]): Promise<Record<string, any>> {
  if (demo.process.stdout === null) throw new Error('There is no output');
  const missing = new Set(types);
  let found = {};
  for await (const text of createInterface(demo.process.stdout)) {
    const one = JSON.parse(text);
    if (!missing.delete(one.type)) continue;
    found = { ...found, ...one };
    if (missing.size === 0) return found;
  }
  throw new Error((await demo.done).stderr);
}

describe.each<[name: string, file: string, args: () => readonly string[], limits: readonly string[]]>([
  ['echo', 'echo', () => ['--per-address', '50'], ['concurrency', 'perAddress.connections', 'idle']],
  ['chat', 'chat', () => [], ['concurrency', 'waiting.max', 'idle']],
  ['smtp', 'smtp', () => [], ['concurrency', 'waiting.max', 'idle']],
  ['proxy', 'proxy', () => ['--backend', '127.0.0.1:1'], ['concurrency', 'idle']],
  ['ingest', 'ingest/index', () => ['--db', join(folder, 'readings.db')], ['concurrency', 'waiting.max', 'idle']],
  ['redis', 'redis/server', () => [], ['concurrency', 'frame']],
  ['memcached', 'memcached/server', () => ['--listen', '127.0.0.1'], ['concurrency', 'waiting.max', 'idle']],
])('%s with --admin', (name, file, args, limits) => {
  it('prints the address of the page, is ready, has metrics and limits that can be moved, and can be drained', async () => {
    const demo = start(file, ['--admin', '0', ...args()]);
    const { url = '', token = '' } = await lines(demo, 'admin');
    const port = Number(new URL(url).port);
    expect(url).toBe(`http://127.0.0.1:${port}/#token=${token}`);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const post = (path: string, body: object) =>
      ask(port, path, { method: 'POST', headers, body: JSON.stringify(body) });
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 });
    expect((await ask(port, '/metrics')).text).toMatch(/^sluice_active_connections\{.*\} 0$/m);
    const { text } = await ask(port, '/limits', { headers });
    expect(JSON.parse(text).map((limit: { name: string }) => limit.name)).toEqual(expect.arrayContaining([...limits]));
    expect(await post('/limits/move', { name: 'concurrency', value: 7 })).toMatchObject({ status: 200 });
    expect(await post('/drain', {})).toMatchObject({ status: 202 });
    expect(await demo.done).toMatchObject({ code: 0, stderr: '' });
  });

  it('prints one sentence if that port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const { code, stderr } = await start(file, ['--admin', String(port), ...args()]).done;
    other.close();
    const sentence = `cannot listen on 127.0.0.1:${port} for --admin: the port is already taken (EADDRINUSE)`;
    expect({ code, stderr }).toEqual({ code: 1, stderr: `${name}: ${sentence}\n` });
  });
});

describe('a demo with --admin', () => {
  it('logs which connections an action hit', async () => {
    const demo = start('echo', ['--admin', '0']);
    const { url, token, address } = await lines(demo, 'admin', 'listening');
    const adminPort = Number(new URL(url).port);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const post = (path: string, body: object) =>
      ask(adminPort, path, { method: 'POST', headers, body: JSON.stringify(body) });
    const client = connect(address.port, '127.0.0.1');
    const rows = async () => JSON.parse((await ask(adminPort, '/connections', { headers })).text);
    await expect.poll(rows, { timeout: PATIENCE }).toHaveLength(1);
    await post('/connections/drain', { ids: [1] });
    client.end();
    await post('/connections/drain', { address: '127.0.0.9', keep: 2 });
    await post('/connections/abort', { search: '10.0.0.0/8' });
    await post('/connections/drain', { ids: [1, 2, 3] });
    await post('/connections/abort', { all: true });
    await post('/drain', {});
    const { stdout } = await demo.done;
    expect([...stdout.matchAll(/"msg":"admin: (.*?)"/g)].map(([, msg]) => msg)).toEqual([
      'drain of 1 connection, #1',
      'drain of 0 connections, all of 127.0.0.9, but the oldest 2',
      "abort of 0 connections, all that match '10.0.0.0/8'",
      'drain of 0 connections, #1, #2, #3',
      'abort of 0 connections, all',
      'the drain of the server',
    ]);
  });

  it('goes on draining at a signal after a drain from the page, which a supervisor may send', async () => {
    const demo = start('echo', ['--admin', '0', '--grace', '600000', '--frame', '600000']);
    expect(await drainedFromPage(demo.process, 'finish')).toMatchObject({
      received: 'half a line and the rest\n',
      report: { drained: 1, aborted: 0 },
    });
  });

  it('aborts at the second signal after a drain from the page', async () => {
    const demo = start('echo', ['--admin', '0', '--grace', '600000', '--frame', '600000']);
    expect(await drainedFromPage(demo.process, 'more signals')).toMatchObject({
      received: '',
      report: { drained: 0, aborted: 1 },
    });
  });
});
