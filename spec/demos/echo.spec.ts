import { setImmediate as nextIteration } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { report } from '../../demos/load/report.ts';
import { Run } from '../../demos/load/run.ts';
import { type Client, client, clients, closeClients } from '../support/client.ts';
import { DemoServer, endDemos } from '../support/demoServer.ts';
import { libraryOptions } from '../support/libraryOptions.ts';
import { spawnDemo } from '../support/spawnDemo.ts';

const timers: NodeJS.Timeout[] = [];

/** A limit, in milliseconds, that no passing test reaches, not even on a slow machine. */
const GRACE = 120_000;

afterEach(async () => {
  for (const timer of timers.splice(0)) clearInterval(timer);
  closeClients();
  await endDemos();
});

/** Starts the server, with options such as `'--idle 200 --frame 100'`. */
async function started(options = ''): Promise<{ server: DemoServer; port: number }> {
  const server = new DemoServer('echo', options.split(' ').filter(Boolean));
  return { server, port: await server.whenListening() };
}

/** Drains the server, and expects exit code 0 and no error output. */
async function drained(server: DemoServer): Promise<DemoServer['report']> {
  server.kill('SIGTERM');
  const { code, signal, stderr } = await server.whenEnded();
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return server.report;
}

/** Writes 24 MB, and reads nothing. */
const neverRead = (one: Client): Client => {
  one.socket.pause();
  return one.write(`${'x'.repeat(60_000)}\n`.repeat(400));
};

/**
 * Waits until a client can write no more, because the kernel's buffers are full in both directions: while the server replies
 * many times to another client, and so could have read.
 */
async function blocked({ socket }: Client, other: Client): Promise<void> {
  let round = 0;
  for (let before = -1; before !== socket.writableLength || before === 0; ) {
    before = socket.writableLength;
    for (const until = round + 100; round < until; round++)
      await other.write(`round ${round}.\n`).whenRead(`round ${round}.\n`);
  }
}

describe('echo', () => {
  it('echoes lines, including a last one without a newline, and logs only JSON lines', async () => {
    const { server, port } = await started();
    const one = client(port).write('hello\r\nwor').write('ld\n\nhalf a li').end();
    await one.whenClosed();
    expect(one.text).toBe('hello\nworld\n\nhalf a li\n');
    await server.whenEmitted('closed');
    expect(await drained(server)).toMatchObject({ drained: 0, aborted: 0, refused: 0, unsent: 0 });
    expect(server.closes).toEqual(['ended']);
    const { stdout = '' } = server.result ?? {};
    const log = stdout.trim().split('\n');
    expect(log.map((line) => JSON.parse(line).type)).toEqual(['listening', 'closed', 'draining', 'drained']);
    expect(JSON.parse(log[0] ?? '').msg).toBe(`listening on 127.0.0.1:${port}`);
  });

  it('serves three of ten, lets two wait, refuses five at once, and serves the oldest waiting one when one leaves', async () => {
    const { server, port } = await started(
      `--concurrency 3 --waiting 2 --wait ${GRACE} --grace ${GRACE} --farewell busy --verbose`,
    );
    const ten: Client[] = [];
    // One after another, so that they are accepted in this order.
    for (let i = 0; i < 10; i++) {
      ten.push(await client(port).write(`I am ${i}\n`).whenConnected());
    }
    await server.whenEmitted('refused', 5);
    expect(server.of('opened').map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(server.of('refused').map(({ id, reason }) => [id, reason])).toEqual(
      [6, 7, 8, 9, 10].map((id) => [id, 'full']),
    );
    await Promise.all(ten.slice(5).map((one) => one.whenClosed()));
    expect(ten.slice(5).map((one) => one.text)).toEqual(Array(5).fill('busy\n'));
    await Promise.all(ten.slice(0, 3).map((one, i) => one.whenRead(`I am ${i}\n`)));
    expect(ten.slice(3, 5).map((one) => one.text)).toEqual(['', '']);

    ten[1]?.end();
    await ten[3]?.whenRead('I am 3\n');
    expect(server.of('opened').map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    expect(ten[4]?.text).toBe('');
    ten[0]?.reset();
    await ten[4]?.whenRead('I am 4\n');
    await server.whenEmitted('closed', 2);
    expect(server.closes).toEqual(['ended', 'reset']);
    // Three are served and idle: they are closed at once.
    const { duration, ...figures } = await drained(server);
    expect(figures).toMatchObject({ drained: 3, aborted: 0, refused: 0, unsent: 0 });
    expect(duration).toBeLessThan(GRACE);
  });

  it('drains under load: no reply is wrong or lost, no connection is reset, and the figures are consistent', async () => {
    const { server, port } = await started(`--verbose --grace ${GRACE}`);
    const target = { host: '127.0.0.1', port, inFlight: 16, size: 64 };
    const run = new Run({ ...target, connections: 200, duration: GRACE, grace: GRACE });
    const finished = run.finish();
    // Wait for all of them: an event-loop iteration may accept only one, and a drain accepts for at most 1 s.
    await server.whenEmitted('opened', 200);
    while (run.tally.answered < 20_000) await nextIteration();
    const { drained: good, ...rest } = await drained(server);
    await finished;
    const { connections, requests, failures } = report(run, true);
    expect({ good, ...rest }).toMatchObject({ good: 200, aborted: 0, refused: 0, unsent: 0 });
    expect(failures).toEqual([]);
    expect(connections.ended).toEqual({ client: 0, fin: 200, reset: 0, open: 0 });
    expect(requests).toMatchObject({ wrong: 0, lost: 0, unanswered: { reset: 0 } });
    expect(requests.answered + requests.unanswered.fin).toBe(requests.sent);
    // Every byte that the server counts as sent has arrived.
    const sent = server.of('closed').reduce((sum, { bytesOut }) => sum + bytesOut, 0);
    expect(sent).toBe(requests.answered * 64);
    expect(run.tally.received).toBe(sent);
  });

  it('aborts a connection whose peer does not read, once the grace is over', async () => {
    const { server, port } = await started('--grace 2000');
    const slow = neverRead(client(port));
    const [idle] = clients(1, port) as [Client];
    await blocked(slow, idle);
    const { duration, ...figures } = await drained(server);
    expect(figures).toMatchObject({ drained: 1, aborted: 1, refused: 0 });
    expect(figures.unsent).toBeGreaterThan(0);
    expect(duration).toBeGreaterThanOrEqual(2000);
    expect(server.closes.sort()).toEqual(['aborted', 'drained']);
    expect(server.of('closed').reduce((sum, { unsent }) => sum + unsent, 0)).toBe(figures.unsent);
    await idle.whenClosed();
    expect(idle.fault).toBeUndefined();
  });

  it('aborts on a second signal', async () => {
    const { server, port } = await started(`--verbose --grace ${GRACE} --frame ${GRACE} --greeting ${GRACE}`);
    const slow = client(port).write('half a li');
    await server.whenEmitted('opened');
    server.kill('SIGINT');
    await server.whenEmitted('draining');
    server.insist('SIGTERM');
    const { code, signal } = await server.whenEnded();
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(server.report).toMatchObject({ drained: 0, aborted: 1, refused: 0 });
    expect(server.report.duration).toBeLessThan(GRACE);
    await slow.whenClosed();
    expect(slow.fault).toBe('ECONNRESET');
  });

  // Each deadline has a server of its own, where no other deadline can pass first on a busy machine.
  it.each([
    ['greeting', 'deadline', (port: number) => client(port)],
    ['frame', 'deadline', (port: number) => client(port).write('x')],
    ['idle', 'deadline', (port: number) => client(port).write('hello\n')],
    ['stall', 'slow-consumer', (port: number) => neverRead(client(port))],
  ])('closes a slow connection at the %s deadline, and names the deadline', async (deadline, reason, connect) => {
    const limits = ['greeting', 'frame', 'idle', 'stall'].map((name) => `--${name} ${name === deadline ? 500 : GRACE}`);
    const { server, port } = await started(`${limits.join(' ')} --pace-in 0 --pace-out 0`);
    const slow = connect(port);
    if (deadline === 'frame') timers.push(setInterval(() => slow.socket.writable && slow.write('x'), 50));
    await server.whenEmitted('closed');
    expect(server.of('closed')).toMatchObject([{ reason, deadline }]);
    expect(server.of('closed')[0]?.duration).toBeGreaterThanOrEqual(500);
    if (deadline === 'stall') return expect(slow.ended).toBe(false);
    await slow.whenClosed();
    expect(slow.text).toBe(deadline === 'idle' ? 'hello\n' : '');
  });

  it('refuses a connection that waits too long', async () => {
    const { server, port } = await started('--concurrency 1 --wait 200');
    const first = client(port).write('hello\n');
    await first.whenRead('hello\n');
    await client(port).whenClosed();
    await server.whenEmitted('refused');
    expect(server.of('refused')).toMatchObject([{ id: 2, reason: 'timeout' }]);
    expect(server.of('refused')[0]?.waited).toBeGreaterThanOrEqual(200);
    expect(await drained(server)).toMatchObject({ drained: 1, aborted: 0, refused: 0 });
  });

  it('closes connections that last too long, and those whose lines are too long', async () => {
    const { server, port } = await started('--lifetime 300 --jitter 0 --max-line 5');
    const long = client(port).write('12345\n123456');
    await long.whenClosed();
    expect(long.text).toBe('12345\n');
    const lasting = client(port);
    timers.push(setInterval(() => lasting.socket.writable && lasting.write('hello\n'), 20));
    await server.whenEmitted('closed', 2);
    const [first, second] = server.of('closed');
    expect(first).toMatchObject({ reason: 'frame-too-long' });
    expect(second).toMatchObject({ reason: 'deadline', deadline: 'lifetime' });
    expect(second?.duration).toBeGreaterThanOrEqual(300);
  });

  it('prints one sentence if its port is taken', async () => {
    const { port } = await started();
    const { code, stdout, stderr } = await spawnDemo('echo', ['--port', String(port)]).done;
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toBe(`echo: cannot listen on 127.0.0.1:${port}: the port is already taken (EADDRINUSE)\n`);
  });

  it('rejects invalid options with one sentence', async () => {
    const sentences = {
      '--idle soon': "--idle must be a number, 1 or more, and not 'soon'",
      '--idle 0': "--idle must be a number, 1 or more, and not '0'",
      '--overrun drop':
        "option '--overrun <policy>' argument 'drop' is invalid. Allowed choices are disconnect, drop-oldest, drop-newest.",
    };
    await Promise.all(
      Object.entries(sentences).map(async ([args, sentence]) => {
        const { code, stdout, stderr } = await spawnDemo('echo', args.split(' ')).done;
        expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: '', stderr: `echo: ${sentence}\n` });
      }),
    );
  });

  it('lists each option with `--help`, with the library’s default', async () => {
    const { code, stdout, stderr } = await spawnDemo('echo', ['--help']).done;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    const text = stdout.replace(/\s+/g, ' ');
    const flags: Record<string, string> = {
      'waiting.max': 'waiting',
      'waiting.timeout': 'wait',
      'waiting.order': 'order',
      'perAddress.connections': 'per-address',
      'accepts.perSecond': 'accepts',
      'accepts.burst': 'burst',
      'accepts.perAddress': 'accepts-per-address',
      'accepts.ramp': 'ramp',
      'pace.in': 'pace-in',
      'pace.out': 'pace-out',
      'pace.grace': 'pace-grace',
      highWaterMark: 'high-water',
      maxOutbound: 'max-outbound',
      keepAlive: 'keep-alive',
      lastCall: 'last-call',
    };
    const apart = ['shutdown', 'random', 'noDelay', 'transport', 'scheduler', 'events', 'ahead'];
    // `--tls-cert` and others, and `--proxy-from`.
    apart.push('tls', 'startTls', 'proxy.trusted', 'proxy.mode', 'proxy.deadline');
    apart.push('admit', 'perAddress.prefix', 'context');
    // The help says what the default is in other words.
    const without = ['farewell', 'lastCall', 'budget', 'allow', 'deny', 'perAddress.connections', 'accepts.burst'];
    without.push('accepts.perAddress');
    for (const { name, preset } of await libraryOptions()) {
      if (apart.includes(name)) continue;
      if (name === 'halfOpen') {
        expect([text.includes('--no-half-open '), preset]).toEqual([true, 'true']);
        continue;
      }
      const flag = `--${flags[name] ?? name}`;
      expect(text, name).toContain(`${flag} <`);
      if (without.includes(name)) continue;
      const shown = text.slice(text.indexOf(`${flag} <`)).match(/default: "?([^")]+)"?\)/)?.[1];
      expect([name, shown]).toEqual([name, preset]);
    }
  });
});
