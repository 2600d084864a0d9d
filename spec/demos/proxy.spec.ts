import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { firstValueFrom } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { connect as dialled, lines } from '../../lib/index.ts';
import { client, closeClients } from '../support/client.ts';
import { freePort } from '../support/freePort.ts';
import { readAll } from '../support/sockets.ts';
import { spawnDemo } from '../support/spawnDemo.ts';
import { endProxies, throughProxy } from '../support/throughProxy.ts';
import { isInstalled } from './redis/support/realRedis.ts';

const servers: Server[] = [];
const sockets = new Set<Socket>();
const children = new Set<ChildProcess>();

afterEach(() => {
  endProxies();
  closeClients();
  for (const child of children) child.kill('SIGKILL');
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function listening(handle: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => undefined).once('close', () => sockets.delete(socket)));
    handle(socket);
  });
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

const dial = (port: number) => connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => undefined);

const QUICK = ['--check-interval', '50', '--check-timeout', '200', '--fall', '2', '--rise', '2'];

describe('proxy', () => {
  it('gives each client the backend with the fewest connections', async () => {
    const [one, other] = [await listening((s) => s.write('one')), await listening((s) => s.write('other'))];
    // The default interval of checks, which is long: a check is a connection, too.
    const proxy = await throughProxy([one, other], '--max-per-backend', '2', '--wait', '300');
    const four = await Promise.all([1, 2, 3, 4].map(() => client(proxy.port).until(({ text }) => text !== '')));
    expect(four.map(({ text }) => text).sort()).toEqual(['one', 'one', 'other', 'other']);
    // All are full: the fifth client waits, and gets the slot of the first client that leaves.
    const fifth = client(proxy.port);
    await fifth.whenConnected();
    const left = four[0]?.reset();
    await fifth.whenRead(left?.text ?? '?');
    const late = await client(proxy.port).whenClosed();
    expect([late.received, late.fault]).toEqual([0, undefined]);
    await proxy.until(({ events }) => JSON.stringify(events).includes('all backends have been full for 300 ms'));
  });

  it('skips a backend that cannot be reached, and closes clients at once when none is left', async () => {
    const [dead, alive] = [await freePort(), await listening((socket) => socket.end('hello'))];
    const proxy = await throughProxy([dead, alive], '--check-interval', '100000');
    for (let n = 0; n < 4; n++) expect((await client(proxy.port).whenClosed()).text).toBe('hello');
    servers.pop()?.close();
    const begun = performance.now();
    const closed = await client(proxy.port).whenClosed();
    expect(closed.text).toBe('');
    expect(performance.now() - begun).toBeLessThan(1000);
    await proxy.until(({ events }) => events.some(({ type }) => type === 'failed'));
    expect(JSON.stringify(proxy.of('failed'))).toMatch(/no backend is left|all backends are down/);
    await proxy.until(({ events }) => events.some(({ type, reason }) => type === 'closed' && reason === 'failed'));
  });

  it('relays, 20 times of 20, the last line of a backend that closes with bytes unread', async () => {
    const lastLine = '-ERR you are refused\n';
    const port = await listening((socket) => {
      socket.once('readable', () => {
        socket.write(lastLine);
        socket.destroy();
      });
    });
    const proxy = await throughProxy(port, '--check-interval', '100000');
    const texts: string[] = [];
    for (let round = 0; round < 20; round++) {
      const one = await firstValueFrom(dialled({ port: proxy.port, host: '127.0.0.1' }));
      await one.write(Buffer.alloc(4_000_000));
      one.pipe(lines()).subscribe({ next: (line) => texts.push(`${line}\n`), error: () => undefined });
      await firstValueFrom(one.closed);
    }
    expect(texts).toEqual(Array(20).fill(lastLine));
  });

  it('relays the whole reply to a client that has half-closed', async () => {
    const port = await listening((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => socket.end(Buffer.concat(chunks).reverse()));
    });
    const proxy = await throughProxy(port);
    const sent = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 251));
    const socket = dial(proxy.port);
    const reply = readAll(socket);
    socket.end(sent);
    expect((await reply).equals(Buffer.from(sent).reverse())).toBe(true);
  });

  it('pauses one side while the other does not read, and relays 1 GiB without growing in memory', async () => {
    const total = 1024 * 1024 * 1024;
    let read: Socket | undefined;
    let received = 0;
    const port = await listening((socket) => {
      // The connection of the health check sends nothing.
      socket.once('end', () => socket.end());
      socket.once('data', (chunk) => {
        received += chunk.length;
        read = socket.pause();
      });
    });
    const proxy = await throughProxy(port, '--check-interval', '100000');
    const { pid = 0 } = proxy.demo.process;
    const memory = () => Number(spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' }).stdout) * 1024;
    const socket = dial(proxy.port);
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    let sent = 0;
    const send = () => {
      while (sent < total) {
        sent += chunk.length;
        if (!socket.write(chunk)) return;
      }
      socket.end();
    };
    socket.on('drain', send).on('connect', send);
    // The backend does not read, so the sender is blocked.
    for (let before = -1; before !== sent; ) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sent).toBeLessThan(total / 2);
    const before = memory();
    expect(before).toBeGreaterThan(0);
    let most = 0;
    const looking = setInterval(() => {
      most = Math.max(most, memory());
    }, 100);
    read?.on('data', (bytes) => {
      received += bytes.length;
    });
    if (read) await once(read.resume(), 'end');
    clearInterval(looking);
    expect(received).toBe(total);
    most = Math.max(most, memory());
    expect(most - before).toBeLessThan(64 * 1024 * 1024);
  });

  it.each([
    ['a client', (socket: Socket) => socket.write(Buffer.alloc(64 * 1024 * 1024)), false],
    ['a backend', (socket: Socket) => socket.pause(), true],
  ] as const)('aborts the connection of %s that reads nothing, after the stall deadline', async (_, serve, sends) => {
    const proxy = await throughProxy(await listening(serve), '--stall', '300', '--check-interval', '100000');
    const socket = dial(proxy.port).pause();
    if (sends) socket.write(Buffer.alloc(64 * 1024 * 1024));
    await proxy.until(({ events }) => events.some(({ type }) => type === 'closed'));
    expect(JSON.stringify(proxy.of('closed'))).toContain('300 ms');
  });

  it('sends the PROXY header to a backend before the bytes of the client', async () => {
    let received: (bytes: Buffer) => void = () => undefined;
    const bytes = new Promise<Buffer>((resolve) => {
      received = resolve;
    });
    const checks: Buffer[] = [];
    const port = await listening((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => {
        const all = Buffer.concat(chunks);
        if (all.length > 28) received(all);
        else checks.push(all);
        socket.end();
      });
    });
    const proxy = await throughProxy(port, '--proxy-protocol');
    const socket = dial(proxy.port);
    await once(socket, 'connect');
    const local = socket.localPort ?? 0;
    socket.end('hello');
    const header = Buffer.from('0d0a0d0a000d0a515549540a2111000c7f0000017f000001', 'hex');
    const ports = Buffer.alloc(4);
    ports.writeUInt16BE(local, 0);
    ports.writeUInt16BE(proxy.port, 2);
    expect((await bytes).toString('hex')).toBe(Buffer.concat([header, ports, Buffer.from('hello')]).toString('hex'));
    expect(checks[0]?.toString('hex')).toBe('0d0a0d0a000d0a515549540a20000000');
  });

  it('marks a backend down that accepts and does not answer, and up again when it answers', async () => {
    let answers = false;
    const silent = await listening((socket) => socket.on('data', () => answers && socket.end('+PONG\r\n')));
    const healthy = await listening((socket) => socket.on('data', () => socket.write('+PONG\r\n')));
    const ask = ['--check-ask', 'PING\\r\\n', '--check-expect', '+PONG', ...QUICK];
    const proxy = await throughProxy([silent, healthy], ...ask);
    await proxy.whenBackend(silent, false);
    for (let n = 0; n < 3; n++) await client(proxy.port).write('x').whenRead('+PONG');
    answers = true;
    await proxy.whenBackend(silent, true);
    expect(JSON.stringify(proxy.of('backend'))).toContain('it did not answer within 200 ms');
  });

  it('checks the greeting of a backend if the check sends nothing', async () => {
    let greeting = '421 busy\r\n';
    const port = await listening((socket) => socket.write(greeting));
    const proxy = await throughProxy(port, '--check-expect', '220 ', ...QUICK);
    await proxy.whenBackend(port, false);
    greeting = '220 here\r\n';
    await proxy.whenBackend(port, true);
    expect(JSON.stringify(proxy.of('backend'))).toContain('it answered');
  });

  it('closes each client in a pause of its conversation when it drains', async () => {
    const port = await listening((socket) => socket.pipe(socket));
    const proxy = await throughProxy(port, '--pause', '50');
    const one = await client(proxy.port).write('hello').whenRead('hello');
    const { code, stdout } = await proxy.stop();
    expect(code).toBe(0);
    expect((await one.whenClosed()).fault).toBeUndefined();
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      type: 'drained',
      drained: 1,
      aborted: 0,
    });
  });

  it('relays the conversations of 20 clients with an echo server unchanged', async () => {
    const proxy = await throughProxy(await listening((socket) => socket.pipe(socket)));
    const load = ['--port', String(proxy.port), '-c', '20', '-n', '16', '-d', '1', '--json'];
    const { code, stdout } = await spawnDemo('load', load).done;
    const report = JSON.parse(stdout);
    expect([code, report.failures]).toEqual([0, []]);
    expect(report.requests.answered).toBe(report.requests.sent);
    expect(report.requests.answered).toBeGreaterThan(1000);
  });

  it.each([
    [[], 'proxy: there must be a --backend\n'],
    [['--backend', 'nowhere'], /must be host:port/],
  ])('rejects %j with one sentence', async (args, sentence) => {
    const { code, stderr } = await spawnDemo('proxy', args).done;
    expect(code).toBe(1);
    expect(stderr).toMatch(sentence);
  });
});

const redisIsHere = ['redis-server', 'redis-cli', 'redis-benchmark'].every(isInstalled);

describe.skipIf(!redisIsHere)('proxy between redis-benchmark and two redis-servers', () => {
  async function redis(port: number): Promise<ChildProcess> {
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.add(server.once('exit', () => children.delete(server)));
    await new Promise<void>((resolve, reject) => {
      server.stdout.on('data', (text) => /ready to accept/i.test(String(text)) && resolve());
      server.once('exit', () => reject(new Error('redis-server ended')));
    });
    return server;
  }

  it('serves new clients while one server is killed and restarted, and disturbs no client of the other', async () => {
    const ports = [await freePort(), await freePort()] as const;
    const [first] = await Promise.all(ports.map(redis));
    const ask = ['--check-ask', 'PING\\r\\n', '--check-expect', '+PONG', ...QUICK];
    const proxy = await throughProxy(ports, ...ask);
    const run = promisify(execFile);
    const cli = async (...args: string[]) =>
      (await run('redis-cli', ['-p', String(proxy.port), ...args])).stdout.trim();
    const cell = (count: number) => ['-p', String(proxy.port), '-q', '-n', String(count), '-t', 'set,get', '-c', '20'];
    const bench = await run('redis-benchmark', cell(5000));
    expect(bench.stdout.match(/requests per second/g)?.length).toBeGreaterThanOrEqual(2);

    // Ten clients, five at each server; each requests the port of its server.
    const ten = await Promise.all(
      Array.from({ length: 10 }, () => client(proxy.port).write('CONFIG GET port\r\n').whenRead('port')),
    );
    const at = (port: number) => ten.filter(({ text }) => text.includes(`\r\n${port}\r\n`));
    expect(ports.map((port) => at(port).length)).toEqual([5, 5]);

    first?.kill('SIGKILL');
    const served: string[] = [];
    for (let n = 0; n < 5; n++) served.push(await cli('CONFIG', 'GET', 'port'));
    await Promise.all(at(ports[0]).map((one) => one.whenClosed()));
    await proxy.whenBackend(ports[0], false);
    served.push(await cli('CONFIG', 'GET', 'port'));
    expect(new Set(served)).toEqual(new Set([`port\n${ports[1]}`]));
    for (const one of at(ports[1])) await one.write('PING\r\n').whenRead('+PONG');

    await redis(ports[0]);
    await proxy.whenBackend(ports[0], true);
    expect(await cli('CONFIG', 'GET', 'port')).toBe(`port\n${ports[0]}`);
    for (const one of at(ports[1])) expect([one.closed, one.fault]).toEqual([false, undefined]);
    const { code } = await proxy.stop();
    expect(code).toBe(0);
  });
});
