import { pino } from 'pino';
import { catchError, concatMap, map, mergeMap, NEVER, type Observable, of, tap, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { connect } from '../../lib/connect/connect.ts';
import type { Connection } from '../../lib/connection/connection.ts';
import {
  BLANK,
  type Decoder,
  deadline,
  encodeLine,
  exchange,
  FrameTooLongError,
  frames,
  idle,
  lines,
  logTo,
  relay,
} from '../../lib/index.ts';
import { listen } from '../../lib/listen/listen.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { clockOf } from '../support/internals.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

const deadlines: ServeOptions = { idle: 10_000, greeting: 10_000, frame: 10_000, linger: 100 };

/** What the backend does after it has accepted a connection and sent its bytes. It may also never accept one. */
type Backend = 'stays' | 'ends' | 'aborts' | 'does not accept';

/** Serves one client with a handler that may use a backend. Returns the `closed` event and the errors of the `failed` events. */
async function talk(
  handler: (backend: Observable<Connection>) => Handler,
  backendSends = '',
  backendDoes: Backend = 'stays',
  clientSends = 'go\n',
) {
  const clock = new Clock();
  const far = new MemoryNetwork(clock);
  far.answers = backendDoes !== 'does not accept';
  const backend = listen({ port: 0 }, { transport: far.transport, scheduler: clock }).subscribe((one) => {
    one.subscribe({ error: () => undefined });
    one.write(backendSends);
    if (backendDoes === 'ends') one.end();
    if (backendDoes === 'aborts') one.abort();
  });
  const near = new MemoryNetwork(clock);
  const there = connect({ port: 1 }, { transport: far.transport, scheduler: clock, timeout: 200 });
  const inMemory = { transport: near.transport, scheduler: clock };
  const log = Log.follow(serve({ port: 0 }, handler(there), { ...deadlines, ...inMemory }));
  await clock.settle();
  const client = near.connect().write(clientSends);
  await clock.advance(30_000);
  client.end();
  await clock.advance(1000);
  log.subscription?.unsubscribe();
  backend.unsubscribe();
  const [closed] = log.of('closed');
  return { closed, failed: log.of('failed').map(({ error }) => error) };
}

const broken = (thrown: unknown): Decoder<string> => ({
  buffered: 0,
  decode() {
    throw thrown;
  },
  decodeEof: () => BLANK,
});

const tooLong = () => {
  throw new FrameTooLongError(1, 2);
};

describe('a connection closes as `failed`, with one `failed` event, when its handler', () => {
  it.each<[string, (backend: Observable<Connection>) => Handler, string?, Backend?]>([
    ['has a backend that does not accept', (there) => () => there.pipe(mergeMap(() => NEVER)), '', 'does not accept'],
    [
      'has a backend that sends too long a line',
      (there) => () => there.pipe(mergeMap((one) => one.pipe(lines({ maxLength: 2 })))),
      'much too long\n',
    ],
    [
      'has a backend that sends half a line',
      (there) => () => there.pipe(mergeMap((one) => one.pipe(lines()))),
      'half a li',
      'ends',
    ],
    ['has a backend that is silent', (there) => () => there.pipe(mergeMap((one) => one.pipe(idle(100), lines())))],
    [
      'has a backend that is silent in the middle of an exchange',
      (there) => exchange(lines(), () => there.pipe(mergeMap((one) => one.pipe(idle(100), lines())))),
    ],
    [
      'has a query that takes too long',
      () => (one) => one.pipe(mergeMap(() => NEVER.pipe(deadline(100, clockOf(one))))),
    ],
    ['throws an error of the library that it has made itself', () => (one) => one.pipe(lines(), map(tooLong))],
    ['rejects with an error of the library', () => async () => tooLong()],
    ['has a decoder with a bug', () => (one) => one.pipe(frames(() => broken(new TypeError('a bug'))))],
    [
      'relays to a backend that aborts',
      (there) => (one) => there.pipe(mergeMap((backend) => relay(one, backend))),
      '',
      'aborts',
    ],
    [
      'encodes what cannot be encoded',
      () => (one) =>
        one.pipe(
          lines(),
          map((line) => encodeLine(`${line}\n`)),
        ),
    ],
  ])('%s', async (_name, handler, backendSends, backendDoes) => {
    const { closed, failed } = await talk(handler, backendSends, backendDoes);
    expect(failed).toHaveLength(1);
    expect(closed).toMatchObject({ reason: 'failed', error: failed[0] });
    expect(closed).not.toHaveProperty('deadline');
  });
});

it('a handler that replaces the error of an invalid input has `failed`, and the close reason is that of the input', async () => {
  const wrapping: Handler = (one) =>
    one.pipe(
      lines({ maxLength: 1 }),
      catchError((cause) => throwError(() => new Error('wrapped', { cause }))),
    );
  const { closed, failed } = await talk(() => wrapping);
  expect(failed).toMatchObject([{ message: 'wrapped', cause: { limit: 1 } }]);
  expect(closed).toMatchObject({ reason: 'frame-too-long', error: { limit: 1 } });
});

describe('a connection closes for its input, without a `failed` event, when that is', () => {
  const long = 'much too long\n';
  const short = lines({ maxLength: 2 });

  it.each<[string, Handler, string, string]>([
    ['invalid in a pipe', (one) => one.pipe(short), long, 'frame-too-long'],
    ['invalid behind a deadline', (one) => one.pipe(idle(1e6), short), long, 'frame-too-long'],
    [
      'invalid behind operators of RxJS',
      (one) =>
        one.pipe(
          tap(),
          map((bytes) => bytes),
          short,
        ),
      long,
      'frame-too-long',
    ],
    [
      'invalid behind concatMap',
      (one) =>
        one.pipe(
          concatMap((bytes) => of(bytes)),
          short,
        ),
      long,
      'frame-too-long',
    ],
    ['invalid in an exchange', exchange(short, (line) => line), long, 'frame-too-long'],
    [
      'invalid in a loop',
      async (one) => {
        for await (const line of one.pipe(short)) await one.write(line);
      },
      long,
      'frame-too-long',
    ],
    ['silent', (one) => one.pipe(idle(100), lines()), '', 'deadline'],
    ['silent behind its framing', (one) => one.pipe(lines(), idle(100)), '', 'deadline'],
    ['silent behind an exchange', (one) => exchange(lines(), String)(one).pipe(idle(100)), '', 'deadline'],
    [
      'invalid although the handler replies to the error',
      (one) =>
        one.pipe(
          short,
          catchError(() => of('too long')),
        ),
      long,
      'frame-too-long',
    ],
    [
      'invalid although the handler rejects with the error later',
      (one) =>
        one.pipe(
          short,
          catchError((error) => Promise.resolve().then(() => Promise.reject(error))),
        ),
      long,
      'frame-too-long',
    ],
  ])('%s', async (_name, handler, clientSends, reason) => {
    const { closed, failed } = await talk(() => handler, '', 'stays', clientSends);
    expect(closed).toMatchObject({ reason, error: reason === 'deadline' ? { after: 100 } : { limit: 2 } });
    expect(failed).toEqual([]);
  });
});

it('a connection whose lifetime was over before its input ended in half a frame closes without `failed`', async () => {
  const server = await TestServer.open((one) => one.pipe(lines()), { ...deadlines, lifetime: 100, jitter: 0 });
  const client = await server.connect();
  client.write('half');
  await server.clock.advance(150);
  client.end();
  await server.clock.settle();
  expect(server.log.closes).toEqual(['lifetime']);
  expect(server.log.of('failed')).toEqual([]);
});

describe('the detail of end() or abort()', () => {
  it.each<[string, (one: Connection) => void, object]>([
    ['end()', (one) => one.end('flooding'), { reason: 'completed', detail: 'flooding' }],
    ['abort()', (one) => one.abort('flooding'), { reason: 'aborted', detail: 'flooding' }],
    [
      'abort() after end()',
      (one) => {
        one.end('first');
        one.abort('second');
      },
      { reason: 'aborted', detail: 'second' },
    ],
    [
      'abort() without a detail after end()',
      (one) => {
        one.end('first');
        one.abort();
      },
      { reason: 'aborted', detail: 'first' },
    ],
    [
      'end() after abort()',
      (one) => {
        one.abort('first');
        one.end('second');
        one.abort('third');
      },
      { reason: 'aborted', detail: 'first' },
    ],
  ])('is in `closed` of the server and of the connection: %s', async (_name, kick, expected) => {
    const ends: unknown[] = [];
    const server = await TestServer.open((one) => {
      one.closed.subscribe((closed) => ends.push(closed));
      return one.pipe(tap(() => kick(one)));
    }, deadlines);
    const client = await server.connect();
    client.write('x');
    await server.clock.settle();
    client.end();
    await server.clock.settle();
    expect(server.log.of('closed')).toMatchObject([expected]);
    expect(ends).toMatchObject([expected]);
    expect(server.log.of('failed')).toEqual([]);
  });

  it('is no property of `closed` when none was given', async () => {
    const server = await TestServer.open((one) => one.pipe(tap(() => one.end())), deadlines);
    const client = await server.connect();
    client.write('x').end();
    await server.clock.settle();
    expect(server.log.of('closed')[0]).not.toHaveProperty('detail');
  });

  it('is the reason of the refusal when the connection waits', () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const events = new Log();
    const waiting: Connection[] = [];
    listen({ port: 0 }, { transport: network.transport, scheduler: clock, events, ahead: 2 }).subscribe((one) => {
      waiting.push(one);
    });
    clock.jump(0);
    network.connect();
    network.connect();
    clock.jump(0);
    waiting[0]?.end('not today');
    waiting[1]?.abort('banned');
    clock.jump(0);
    expect(events.refusals).toEqual(['not today', 'banned']);
  });

  it.each([[5], [''], [null], [new Error('no')]])('must be a string that is not empty: %o', async (detail) => {
    const server = await TestServer.open((one) => one.pipe(tap(() => one.end(detail as never))), deadlines);
    const client = await server.connect();
    client.write('x').end();
    await server.clock.settle();
    expect(String(server.log.of('failed')[0]?.error)).toBe(
      'TypeError: Cannot end a connection: detail must be a string that is not empty',
    );
  });
});

it('a relay whose backend aborts fails its client', async () => {
  const { closed } = await talk(
    (there) => (client) => there.pipe(mergeMap((one) => relay(client, one))),
    'x',
    'aborts',
  );
  expect(closed).toMatchObject({ reason: 'failed' });
});

it('a log line of a close has the detail', () => {
  const lines: string[] = [];
  const logger = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line) });
  const peer = { address: '192.0.2.7', port: 50_000 };
  const closed = { type: 'closed', id: 7, peer, reason: 'aborted', detail: 'flooding' };
  logTo(logger).next(closed as never);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: 'connection 7 closed: aborted (flooding)', detail: 'flooding' },
  ]);
});
