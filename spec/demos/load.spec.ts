import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Report } from '../../demos/load/report.ts';
import { freePort } from '../support/freePort.ts';
import { type DemoResult, spawnDemo } from '../support/spawnDemo.ts';

const servers: Server[] = [];
const sockets = new Set<Socket>();

/** The lines that the server has received on each connection of the test, by the connection's number. */
const received: number[] = [];
let onLines = (): void => undefined;

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  received.length = 0;
  onLines = () => undefined;
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

/** Starts a server that calls `handle` with each connection and its number, and returns its port. */
async function listening(handle: (socket: Socket, index: number) => void): Promise<number> {
  let index = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket.once('close', () => sockets.delete(socket)));
    socket.on('error', () => socket.destroy());
    const number = index++;
    socket.on('data', (chunk: Buffer | string) => {
      received[number] = (received[number] ?? 0) + chunk.toString('latin1').split('\n').length - 1;
      onLines();
    });
    handle(socket, number);
  });
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** Answers each line with `reply(line)`. */
function answer(socket: Socket, reply: (line: string, index: number) => string): void {
  let rest = '';
  let index = 0;
  socket.setEncoding('latin1').on('data', (text: string) => {
    const lines = `${rest}${text}`.split(/(?<=\n)/);
    rest = lines.at(-1)?.endsWith('\n') ? '' : (lines.pop() ?? '');
    socket.write(lines.map((line) => reply(line, index++)).join(''), 'latin1');
  });
  socket.once('end', () => socket.end());
}

const CONNECTIONS = 3;
const IN_FLIGHT = 4;

/**
 * Runs the demo with time limits that no passing test reaches. It is stopped by SIGINT as soon as the server has received
 * `enough` lines on each connection, so that no result depends on the machine's speed.
 */
function loadUntil(enough: number, port: number, ...args: string[]): Promise<DemoResult> {
  const options = ['-c', String(CONNECTIONS), '-n', String(IN_FLIGHT), '-d', '600', '--grace', '120'];
  const demo = spawnDemo('load', ['--port', String(port), ...options, ...args]);
  onLines = () => {
    if (received.filter((lines) => lines >= enough).length < CONNECTIONS) return;
    onLines = () => undefined;
    demo.process.kill('SIGINT');
  };
  return demo.done;
}

const load = (port: number, ...args: string[]): Promise<DemoResult> => loadUntil(1000, port, ...args);

const loadJson = (port: number, ...args: string[]) => reported(load(port, '--json', ...args));

async function reported(result: Promise<DemoResult>): Promise<{ code: number | null; report: Report }> {
  const { code, stdout, stderr } = await result;
  expect(stderr).toBe('');
  return { code, report: JSON.parse(stdout) };
}

function expectToAddUp({ requests, connections }: Report): void {
  const { sent, answered, wrong, lost, unanswered } = requests;
  expect(answered + wrong + lost + unanswered.fin + unanswered.reset).toBe(sent);
  const { client, fin, reset, open } = connections.ended;
  expect(client + fin + reset + open).toBe(connections.opened);
}

describe('load', () => {
  it('finds no fault in a server that echoes', async () => {
    const { code, report } = await loadJson(await listening((socket) => socket.pipe(socket)));
    expect(code).toBe(0);
    expectToAddUp(report);
    expect(report.failures).toEqual([]);
    expect(report.connections).toEqual({
      wanted: 3,
      opened: 3,
      failed: {},
      ended: { client: 3, fin: 0, reset: 0, open: 0 },
    });
    expect(report.requests.answered).toBe(report.requests.sent);
    expect(report.requests.sent).toBeGreaterThan(100);
    expect(report.throughput.requests).toBeCloseTo((report.requests.answered * 1000) / report.elapsed, -2);
    const { min = 0, p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0 } = report.latency ?? {};
    expect([min, p50, p90, p99, p999, max]).toEqual([min, p50, p90, p99, p999, max].sort((a, b) => a - b));
    expect(min).toBeGreaterThan(0);
  });

  it('prints a report for people; when piped, progress as JSON lines before it', async () => {
    const port = await listening((socket) => socket.pipe(socket));
    const { code, stdout } = await loadUntil(Number.POSITIVE_INFINITY, port, '-d', '1.2', '--size', '1000');
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    const running = JSON.parse(lines[0] ?? '');
    expect(running).toMatchObject({ msg: 'running', open: 3, wrong: 0, lost: 0 });
    expect(running.perSecond).toBeGreaterThan(0);
    const text = lines.slice(1).join('\n');
    expect(text).toMatch(/requests\/s/);
    expect(text).toMatch(/p50 .*p90 .*p99 .*p99\.9 .*max/);
    expect(text).toMatch(/█/);
    expect(text).toMatch(/errors +none/);
    expect(text).toMatch(/✔ Every reply was identical/);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('detects a single byte that was changed', async () => {
    const spoil = (line: string, index: number): string => (index === 7 ? line.replace(/.\n/, '#\n') : line);
    const port = await listening((socket, n) => answer(socket, n === 0 ? spoil : (line) => line));
    const { code, report } = await loadJson(port);
    expect(code).toBe(1);
    expectToAddUp(report);
    expect(report.requests).toMatchObject({ wrong: 1, lost: 0 });
    expect(report.failures).toEqual(['1 reply was wrong']);
  });

  it('logs which reply is wrong, and its first wrong byte', async () => {
    const spoil = (line: string, index: number): string =>
      index === 7 ? `${line.slice(0, 20)}#${line.slice(21)}` : line;
    const port = await listening((socket, n) => answer(socket, n === 0 ? spoil : (line) => line));
    const { code, stdout } = await load(port);
    expect(code).toBe(1);
    expect(stdout).toMatch(/"msg":"connection 0, reply 7: wrong from byte 20"/);
    expect(stdout).toMatch(/✘ 1 reply was wrong/);
  });

  it('counts a missing reply as lost, and continues', async () => {
    const omit = (line: string, index: number): string => (index === 7 ? '' : line);
    const { code, report } = await loadJson(await listening((socket) => answer(socket, omit)));
    expect(code).toBe(1);
    expectToAddUp(report);
    expect(report.requests).toMatchObject({ wrong: 0, lost: 3 });
    expect(report.requests.answered).toBeGreaterThan(100);
  });

  it('counts replies as lost that do not arrive within the grace', async () => {
    const stuck = (line: string, index: number): string => (index < 10 ? line : '');
    const port = await listening((socket) => answer(socket, stuck));
    // The demo sends line 10 + IN_FLIGHT only after it has received all ten replies.
    const { code, report } = await reported(loadUntil(10 + IN_FLIGHT, port, '--json', '--grace', '0.2'));
    expect(code).toBe(1);
    expectToAddUp(report);
    expect(report.requests).toMatchObject({ answered: 30, lost: 12 });
    expect(report.connections.ended.open).toBe(3);
  });

  it('counts a line that was sent twice as unexpected', async () => {
    const double = (line: string, index: number): string => (index === 7 ? line + line : line);
    const { code, report } = await loadJson(await listening((socket) => answer(socket, double)));
    expect(code).toBe(1);
    expectToAddUp(report);
    expect(report.unexpected).toBe(3);
    expect(report.requests).toMatchObject({ wrong: 0, lost: 0 });
  });

  it('fails when connections are reset, even with --expect-drain', async () => {
    const port = await listening((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const { code, report } = await loadJson(port, '--expect-drain');
    expect(code).toBe(1);
    expectToAddUp(report);
    expect(report.connections.ended.reset).toBe(3);
    expect(report.requests).toMatchObject({ sent: 12, answered: 0, unanswered: { fin: 0, reset: 12 } });
    expect(report.latency).toBeNull();
  });

  describe('when the server ends connections by FIN with requests unanswered', () => {
    /** Answers ten lines, sends a FIN, and reads until the peer has ended: a lingering close. */
    const drain = (socket: Socket): void => {
      answer(socket, (line, index) => {
        if (index === 9) setImmediate(() => socket.end());
        return index < 10 ? line : '';
      });
    };

    it('fails', async () => {
      const { code, report } = await loadJson(await listening(drain));
      expect(code).toBe(1);
      expectToAddUp(report);
      expect(report.connections.ended.fin).toBe(3);
      expect(report.requests.answered).toBe(30);
      expect(report.failures).toEqual([`${report.requests.unanswered.fin} requests were unanswered at a FIN`]);
    });

    it('succeeds with --expect-drain, and ends as soon as all connections are closed', async () => {
      const begun = performance.now();
      const { code, report } = await loadJson(await listening(drain), '--expect-drain');
      expect(code).toBe(0);
      expectToAddUp(report);
      expect(report.requests.unanswered.fin).toBeGreaterThan(0);
      expect(report.connections.ended).toEqual({ client: 0, fin: 3, reset: 0, open: 0 });
      expect(performance.now() - begun).toBeLessThan(120_000);
    });
  });

  it('stops on SIGINT, and still reports', async () => {
    const port = await listening((socket) => socket.pipe(socket));
    const demo = spawnDemo('load', ['--port', String(port), '-c', '2', '-d', '600', '--json']);
    const [server] = servers;
    if (server !== undefined) await once(server, 'connection');
    const [socket] = sockets;
    if (socket !== undefined) await once(socket, 'data');
    demo.process.kill('SIGINT');
    const { code, signal, stdout } = await demo.done;
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    const report: Report = JSON.parse(stdout);
    expectToAddUp(report);
    expect(report.requests.answered).toBe(report.requests.sent);
    expect(report.requests.answered).toBeGreaterThan(0);
  });

  it('prints one sentence if no server is listening', async () => {
    const port = await freePort();
    const { code, stdout, stderr } = await load(port);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toBe(`load: cannot connect to 127.0.0.1:${port}: nothing is listening there (ECONNREFUSED)\n`);
  });

  it.each([
    [['-c', 'many'], "load: --connections must be a whole number from 1 to 65000, and not 'many'\n"],
    [
      ['-c', '1000', '-n', '4000', '--size', '1000'],
      'load: requests in flight would take 3.73 GiB, but at most 1.00 GiB is allowed\n',
    ],
    [['--conections', '5'], "load: unknown option '--conections' (Did you mean --connections?)\n"],
  ])('rejects %j with one sentence', async (args, sentence) => {
    const { code, stdout, stderr } = await spawnDemo('load', args).done;
    expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: '', stderr: sentence });
  });

  it('lists its options with --help', async () => {
    const { code, stdout, stderr } = await spawnDemo('load', ['--help']).done;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const option of [
      '--host',
      '--port',
      '-c, --connections',
      '-n, --in-flight',
      '-d, --duration',
      '--size',
      '--json',
    ]) {
      expect(stdout).toContain(option);
    }
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});
