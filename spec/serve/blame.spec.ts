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
import { House } from '../support/house.ts';
import { clockOf } from '../support/internals.ts';
import { Log } from '../support/log.ts';

const deadlines: ServeOptions = { idle: 10_000, greeting: 10_000, frame: 10_000, linger: 100 };

/** A server, and a backend that says something to each connection and then keeps it, ends it, or does not even answer. */
async function talk(handler: (backend: Observable<Connection>) => Handler, says = '', how = 'stays', asks = 'go\n') {
  const clock = new Clock();
  const far = new MemoryNetwork(clock);
  far.answers = how !== 'does not answer';
  const backend = listen({ port: 0 }, { transport: far.transport, scheduler: clock }).subscribe((one) => {
    one.subscribe({ error: () => undefined });
    one.write(says);
    if (how === 'ends') one.end();
    if (how === 'breaks') one.abort();
  });
  const near = new MemoryNetwork(clock);
  const there = connect({ port: 1 }, { transport: far.transport, scheduler: clock, timeout: 200 });
  const seams = { transport: near.transport, scheduler: clock };
  const log = Log.follow(serve({ port: 0 }, handler(there), { ...deadlines, ...seams }));
  await clock.settle();
  const client = near.connect().write(asks);
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

describe('a close reason and `failed` say that it was the handler', () => {
  it.each<[string, (backend: Observable<Connection>) => Handler, string?, string?]>([
    ['whose backend does not answer', (there) => () => there.pipe(mergeMap(() => NEVER)), '', 'does not answer'],
    [
      'whose backend says too long a line',
      (there) => () => there.pipe(mergeMap((one) => one.pipe(lines({ maxLength: 2 })))),
      'much too long\n',
    ],
    [
      'whose backend says half a line',
      (there) => () => there.pipe(mergeMap((one) => one.pipe(lines()))),
      'half a li',
      'ends',
    ],
    ['whose backend is silent', (there) => () => there.pipe(mergeMap((one) => one.pipe(idle(100), lines())))],
    [
      'whose backend is silent, as it finds out in the middle of an exchange',
      (there) => exchange(lines(), () => there.pipe(mergeMap((one) => one.pipe(idle(100), lines())))),
    ],
    ['whose query takes too long', () => (one) => one.pipe(mergeMap(() => NEVER.pipe(deadline(100, clockOf(one)))))],
    ['that makes an error of ours itself', () => (one) => one.pipe(lines(), map(tooLong))],
    ['that rejects with an error of ours', () => async () => tooLong()],
    ['whose decoder has a bug', () => (one) => one.pipe(frames(() => broken(new TypeError('a bug'))))],
    [
      'whose relay has lost its backend',
      (there) => (one) => there.pipe(mergeMap((backend) => relay(one, backend))),
      '',
      'breaks',
    ],
    [
      'that encodes what cannot be',
      () => (one) =>
        one.pipe(
          lines(),
          map((line) => encodeLine(`${line}\n`)),
        ),
    ],
    [
      'that makes another error of one of its input',
      () => (one) =>
        one.pipe(
          lines({ maxLength: 1 }),
          catchError((cause) => throwError(() => new Error('wrapped', { cause }))),
        ),
    ],
  ])('%s', async (name, handler, says = '', how = 'stays') => {
    const { closed, failed } = await talk(handler, says, how);
    expect(failed).toHaveLength(1);
    expect(closed?.reason).toBe(name.includes('another error') ? 'frame-too-long' : 'failed');
    if (closed?.reason === 'failed') expect(closed).toMatchObject({ error: failed[0] });
    if (closed?.reason === 'failed') expect(closed).not.toHaveProperty('deadline');
  });
});

describe('a close reason says that it was the input of its own connection, and nothing has `failed`,', () => {
  const long = 'much too long\n';
  const short = lines({ maxLength: 2 });

  it.each<[string, Handler, string, string]>([
    ['in the pipe', (one) => one.pipe(short), long, 'frame-too-long'],
    ['behind a deadline', (one) => one.pipe(idle(1e6), short), long, 'frame-too-long'],
    [
      'behind operators of RxJS',
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
      'behind one that switches',
      (one) =>
        one.pipe(
          concatMap((bytes) => of(bytes)),
          short,
        ),
      long,
      'frame-too-long',
    ],
    ['in an exchange', exchange(short, (line) => line), long, 'frame-too-long'],
    [
      'in a loop',
      async (one) => {
        for await (const line of one.pipe(short)) await one.write(line);
      },
      long,
      'frame-too-long',
    ],
    ['that is silent', (one) => one.pipe(idle(100), lines()), '', 'deadline'],
    ['that is silent, behind its framing', (one) => one.pipe(lines(), idle(100)), '', 'deadline'],
    ['that is silent, behind an exchange', (one) => exchange(lines(), String)(one).pipe(idle(100)), '', 'deadline'],
    [
      'though the handler has made a reply of it',
      (one) =>
        one.pipe(
          short,
          catchError(() => of('too long')),
        ),
      long,
      'frame-too-long',
    ],
    [
      'though the handler tells of it later',
      (one) =>
        one.pipe(
          short,
          catchError((error) => Promise.resolve().then(() => Promise.reject(error))),
        ),
      long,
      'frame-too-long',
    ],
  ])('%s', async (_name, handler, asks, reason) => {
    const { closed, failed } = await talk(() => handler, '', 'stays', asks);
    expect(closed).toMatchObject({ reason, error: reason === 'deadline' ? { after: 100 } : { limit: 2 } });
    expect(failed).toEqual([]);
  });

  it('after its lifetime was over', async () => {
    const house = await House.open((one) => one.pipe(lines()), { ...deadlines, lifetime: 100, jitter: 0 });
    const client = await house.connect();
    client.write('half');
    await house.clock.advance(150);
    client.end();
    await house.clock.settle();
    expect(house.log.closes).toEqual(['lifetime']);
    expect(house.log.of('failed')).toEqual([]);
  });
});

describe('what is said with end() or abort()', () => {
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
      'abort() without a word after end()',
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
  ])('comes back in `closed`: %s', async (_name, kick, expected) => {
    const said: unknown[] = [];
    const house = await House.open((one) => {
      one.closed.subscribe((closed) => said.push(closed));
      return one.pipe(tap(() => kick(one)));
    }, deadlines);
    const client = await house.connect();
    client.write('x');
    await house.clock.settle();
    client.end();
    await house.clock.settle();
    expect(house.log.of('closed')).toMatchObject([expected]);
    expect(said).toMatchObject([expected]);
    expect(house.log.of('failed')).toEqual([]);
  });

  it('is not there where nothing was said', async () => {
    const house = await House.open((one) => one.pipe(tap(() => one.end())), deadlines);
    const client = await house.connect();
    client.write('x').end();
    await house.clock.settle();
    expect(house.log.of('closed')[0]).not.toHaveProperty('detail');
  });

  it('is the reason of the refusal of one that waits', () => {
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

  it.each([[5], [''], [null], [new Error('no')]])('must be a text: %o', async (detail) => {
    const house = await House.open((one) => one.pipe(tap(() => one.end(detail as never))), deadlines);
    const client = await house.connect();
    client.write('x').end();
    await house.clock.settle();
    expect(String(house.log.of('failed')[0]?.error)).toBe(
      'TypeError: Cannot end a connection: detail must be a string that is not empty',
    );
  });
});

it('a relay whose backend breaks off fails its client', async () => {
  const { closed } = await talk(
    (there) => (client) => there.pipe(mergeMap((one) => relay(client, one))),
    'x',
    'breaks',
  );
  expect(closed).toMatchObject({ reason: 'failed' });
});

it('a logged close has what was said with it', () => {
  const lines: string[] = [];
  const logger = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line) });
  const peer = { address: '192.0.2.7', port: 50_000 };
  const closed = { type: 'closed', id: 7, peer, reason: 'aborted', detail: 'flooding' };
  logTo(logger).next(closed as never);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: 'connection 7 closed: aborted (flooding)', detail: 'flooding' },
  ]);
});
