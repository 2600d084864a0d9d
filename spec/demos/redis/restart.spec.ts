import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Waitable } from '../../support/waitable.ts';
import { isInstalled } from './support/realRedis.ts';
import { request } from './support/request.ts';
import { endServers, RedisServer, run } from './support/server.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  file = join(folder, 'data.aof');
});
afterEach(endServers);
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Increments a key without a pause, with 50 requests in flight, and checks the replies. */
class IncrementingClient extends Waitable {
  /** The last acknowledged number. */
  acknowledged = 0;
  /** Replies that were not the next number. */
  readonly wrong: string[] = [];
  closed = false;
  fault: string | undefined;
  readonly #socket: Socket;

  constructor(port: number, key: string) {
    super();
    const incr = request(['INCR', key]);
    let rest = '';
    this.#socket = connect(port, '127.0.0.1', () => this.#socket.write(incr.repeat(50)));
    this.#socket.on('data', (bytes) => {
      const lines = (rest + bytes).split('\r\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === `:${this.acknowledged + 1}`) this.acknowledged++;
        else this.wrong.push(line);
      }
      if (this.#socket.writable) this.#socket.write(incr.repeat(lines.length));
      this.changed();
    });
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.fault = error.code;
    });
    this.#socket.on('close', () => {
      this.closed = true;
      this.changed();
    });
  }
}

describe('the server', () => {
  it('answers every executed command when it drains, and has all of them in the log', async () => {
    const server = await RedisServer.start('--append', file);
    const counting = Array.from({ length: 10 }, (_, index) => new IncrementingClient(server.port, `n:${index}`));
    for (const each of counting) await each.until(({ acknowledged }) => acknowledged >= 500, '500 replies');
    const { code } = await server.kill('SIGTERM');
    expect(code).toBe(0);
    expect(await server.whenLogged('drained')).toMatchObject({ drained: 10, aborted: 0, refused: 0, unsent: 0 });
    for (const each of counting) await each.until(({ closed }) => closed, 'the end');
    expect(counting.flatMap(({ wrong, fault }) => [...wrong, fault])).toEqual(Array(10).fill(undefined));

    const again = await RedisServer.start('--append', file);
    for (const [index, { acknowledged }] of counting.entries()) {
      const next = new IncrementingClient(again.port, `n:${index}`);
      // One more than the last acknowledged number: nothing was lost, and nothing was executed without a reply.
      await next.until(({ wrong }) => wrong.length > 0, 'a reply');
      expect(next.wrong[0]).toBe(`:${acknowledged + 1}`);
    }
  });

  it.runIf(isInstalled('redis-benchmark'))('drains under the load of redis-benchmark', async () => {
    const server = await RedisServer.start();
    const port = String(server.port);
    const load = run('redis-benchmark', ['-p', port, '-q', '-n', '100000000', '-c', '20', '-P', '16', '-t', 'set']);
    const witness = new IncrementingClient(server.port, 'n');
    await witness.until(({ acknowledged }) => acknowledged >= 2000, '2000 replies');
    // On a slow machine the clients of the benchmark may connect later. There is one more: the one that asks.
    const connected = async () =>
      Number(/connected_clients:(\d+)/.exec((await run('redis-cli', ['-p', port, 'info', 'clients'])).stdout)?.[1]);
    await vi.waitUntil(async () => (await connected()) >= 22, { timeout: 30_000, interval: 50 });
    const { code } = await server.kill('SIGINT');
    expect(code).toBe(0);
    const report = await server.whenLogged('drained');
    expect(report).toMatchObject({ aborted: 0, unsent: 0 });
    expect(report.drained).toBeGreaterThanOrEqual(21);
    expect(report.duration).toBeLessThan(5000);
    expect((await load).stderr).toContain('Server closed the connection');
    await witness.until(({ closed }) => closed, 'the end');
    expect(witness).toMatchObject({ wrong: [], fault: undefined });
  });

  it('reports in one sentence why it cannot start', async () => {
    const server = await RedisServer.start();
    const [taken, nowhere] = await Promise.all([
      RedisServer.end('--port', String(server.port)),
      RedisServer.end('--append', join(folder, 'no', 'such', 'folder')),
    ]);
    expect(taken.code).toBe(1);
    expect(taken.stderr).toBe(
      `redis: cannot listen on 127.0.0.1:${server.port}: the port is already taken (EADDRINUSE)\n`,
    );
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toContain('redis: cannot open');
  });
});

describe('--append', () => {
  it('keeps every acknowledged change over a SIGKILL', async () => {
    const server = await RedisServer.start('--append', file);
    const counting = Array.from({ length: 10 }, (_, index) => new IncrementingClient(server.port, `n:${index}`));
    for (const each of counting) await each.until(({ acknowledged }) => acknowledged >= 500, '500 replies');
    expect(await server.kill('SIGKILL')).toMatchObject({ signal: 'SIGKILL' });
    for (const each of counting) await each.until(({ closed }) => closed, 'the end');

    const again = await RedisServer.start('--append', file);
    for (const [index, { acknowledged }] of counting.entries()) {
      const next = new IncrementingClient(again.port, `n:${index}`);
      await next.until(({ wrong }) => wrong.length > 0, 'a reply');
      expect(Number(next.wrong[0]?.slice(1))).toBeGreaterThan(acknowledged);
    }
  });

  it('truncates an incomplete end with a warning, and continues after the complete commands', async () => {
    const whole = request(['SET', 'one', '1']) + request(['RPUSH', 'list', 'a', 'b']);
    writeFileSync(file, whole);
    appendFileSync(file, request(['SET', 'two', 'never acknowledged']).slice(0, -3));
    const server = await RedisServer.start('--append', file);
    const warning = server.log.find(({ level }) => level === 40);
    expect(warning?.msg).toMatch(/ends in the middle of a command: its last \d+ bytes are truncated$/);
    expect(server.log.find(({ msg }) => msg === `replayed ${file}: 2 keys`)).toMatchObject({ keys: 2 });
    const counting = new IncrementingClient(server.port, 'one');
    await counting.until(({ wrong }) => wrong.length > 0, 'a reply');
    expect(counting.wrong[0]).toBe(':2');
    expect((await server.kill('SIGTERM')).code).toBe(0);
    const text = readFileSync(file, 'latin1');
    expect(text.startsWith(whole + request(['INCR', 'one']))).toBe(true);
    expect(text).not.toContain('never acknowledged');
  });

  it('does not start with a log that is corrupt in the middle', async () => {
    writeFileSync(file, `${request(['SET', 'one', '1'])}nonsense\r\n${request(['SET', 'two', '2'])}`);
    const { code, stderr } = await RedisServer.end('--append', file);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^redis: Cannot replay .*: at byte 29, nonsense fails: ERR unknown command/);
  });
});
