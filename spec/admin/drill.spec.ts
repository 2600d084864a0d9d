import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BehaviorSubject, map, share } from 'rxjs';
import { afterEach, expect, it } from 'vitest';
import { admin } from '../../lib/admin/index.ts';
import { encodeLine, lines, serve } from '../../lib/index.ts';
import { AdminLog } from '../support/adminPort.ts';
import { Log } from '../support/log.ts';
import { home } from '../support/page.ts';

const run = promisify(execFile);
const hasCurl = await run('curl', ['--version']).then(
  () => true,
  () => process.env.CI !== undefined,
);

const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
});

it.skipIf(!hasCurl)('the operator’s drill of the guide, with the admin port alone', async () => {
  const guide = await readFile(join(home, 'lib/admin/ADMIN.md'), 'utf8');
  const [setup = '', find = '', lower = '', drain = '', watch = ''] = [
    ...guide.matchAll(/^```sh\n([\s\S]*?)^```$/gm),
  ].map(([, code = '']) => code);

  const concurrency = new BehaviorSubject(20);
  const perAddress = new BehaviorSubject(100);
  const silent = {
    greeting: Number.POSITIVE_INFINITY,
    idle: Number.POSITIVE_INFINITY,
    frame: Number.POSITIVE_INFINITY,
  };
  const echo = serve({ port: 0, host: '127.0.0.1' }, (one) => one.pipe(lines(), map(encodeLine)), {
    ...silent,
    pace: { in: 0 },
    concurrency,
    perAddress: { connections: perAddress },
    waiting: { timeout: Number.POSITIVE_INFINITY },
  });
  const events = echo.pipe(share());
  const limits = { concurrency, 'perAddress.connections': perAddress };
  const { log, subscription } = AdminLog.follow(admin(events, { port: 0, limits }));
  const server = Log.follow(events);
  const adminPort = await log.whenListening();
  const port = await server.whenListening();
  const { token = '' } = log.of('listening')[0] ?? {};

  const from = (localAddress: string): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    sockets.add(socket);
    socket.on('error', () => {}).resume();
    return new Promise((resolve) => socket.on('connect', () => resolve(socket)));
  };
  const shell = async (commands: string) => {
    const own = setup.replace(/admin=\S+ token=\S+/, `admin=http://127.0.0.1:${adminPort} token=${token}`);
    expect(own).toContain(token);
    return (await run('bash', ['-euo', 'pipefail', '-c', `${own}${commands}`])).stdout;
  };

  // One address takes all places. Half of its connections have a request in progress.
  const greedy: Socket[] = [];
  for (let i = 0; i < 20; i++) greedy.push(await from('127.0.0.9'));
  await server.whenEmitted('opened', 20);
  for (const [i, socket] of greedy.entries()) if (i % 2 === 1) socket.write('half a line');
  const others = [await from('127.0.0.2'), await from('127.0.0.3')];
  await server.whenAccepted(22);
  const [, , ...read] = server.of('listening')[0]?.connections ?? [];
  await expect.poll(() => read.filter(({ bytesIn }) => bytesIn > 0).length).toBe(9);

  expect(JSON.parse(await shell(find))).toMatchObject({
    distinct: 1,
    addresses: [{ address: '127.0.0.9', connections: 20 }],
  });
  expect(JSON.parse(await shell(lower))).toEqual({ name: 'perAddress.connections', was: 100, value: 2 });
  expect(JSON.parse(await shell(drain))).toEqual({ connections: 18 });
  // Those that have nothing to finish are closed, and their places are for the others.
  await server.whenEmitted('closed', 9);
  await server.whenEmitted('opened', 22);
  const latest = await from('127.0.0.9');
  await new Promise((resolve) => latest.on('close', resolve));
  expect(server.refusals).toEqual(['per-address']);

  const watched = shell(watch);
  for (const socket of greedy) if (socket.writable) socket.write(' and the rest\n');
  await watched;
  await server.whenEmitted('closed', 18);
  expect(server.of('closed').map(({ reason, detail }) => `${reason}: ${detail}`)).toEqual(
    Array(18).fill('drained: too many'),
  );
  // Each request in progress was answered.
  const answered = server.of('closed').filter(({ bytesOut }) => bytesOut === 'half a line and the rest\n'.length);
  expect(answered).toHaveLength(9);
  expect(others.map(({ destroyed }) => destroyed)).toEqual([false, false]);
  expect(log.of('action').map(({ action }) => action)).toEqual(['limit', 'drain']);

  subscription.unsubscribe();
  server.subscription?.unsubscribe();
});
