// Frames that an operator still holds when the input has ended, or is unsubscribed by an operator in front.
import {
  catchError,
  delay,
  EMPTY,
  endWith,
  firstValueFrom,
  ignoreElements,
  map,
  merge,
  type Observable,
  of,
  pipe,
  type SchedulerLike,
  share,
  switchMap,
  take,
  takeUntil,
  takeWhile,
  timeout,
  timer,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { operateBytes } from '../../lib/connection/operateBytes.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { delimited } from '../../lib/framing/delimited.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import { listen } from '../../lib/listen/listen.ts';
import { type MemoryClient, MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { clockOf } from '../support/internals.ts';
import { TestServer } from '../support/testServer.ts';

const bytes = (text: string) => Buffer.from(text);
const idle = { idle: 1000, greeting: 1000, linger: 100 };

/** Emits one more chunk when its source completes. */
const withLast = operateBytes((sink) => ({
  complete() {
    sink.next(bytes('x\ny\n'));
    sink.complete();
  },
}));

type Read = (input: Observable<Uint8Array>, clock: SchedulerLike) => Observable<unknown>;

it.each<[string, Read]>([
  ['take', (input) => input.pipe(take(1), lines())],
  ['takeUntil', (input, clock) => input.pipe(takeUntil(timer(5, clock)), lines())],
  [
    'takeWhile',
    (input) =>
      input.pipe(
        takeWhile(() => false, true),
        lines(),
      ),
  ],
  [
    'take, in front of a decoder that does not decode ahead',
    (input) => input.pipe(take(1), delimited('\n'), map(String)),
  ],
  [
    'timeout',
    (input, scheduler) =>
      input.pipe(
        timeout({ each: 5, scheduler }),
        catchError(() => EMPTY),
        lines(),
      ),
  ],
])('requests that wait when the input is ended by %s are answered', async (_, read) => {
  const slow = (line: unknown, connection: Connection) => of(`${line}\n`).pipe(delay(10, clockOf(connection)));
  const handler = (connection: Connection) => exchange((input) => read(input, clockOf(connection)), slow)(connection);
  const server = await TestServer.open(handler, idle);
  const client = await server.connect();
  client.write('a\nb\nc\n');
  await server.clock.advance(100);
  expect([client.text, client.ended]).toEqual(['a\nb\nc\n', true]);
  client.end();
  await server.clock.settle();
  expect(server.log.closes).toEqual(['completed']);
});

it('the frames of a chunk are all emitted when an operator in front has completed, however many they are', async () => {
  const server = await TestServer.open((connection) => connection.pipe(take(1), lines(), map(encodeLine)), idle);
  const client = await server.connect();
  client.write('a\n'.repeat(5000));
  await server.clock.settle();
  client.end();
  await server.clock.settle();
  expect([client.text.length, server.log.closes]).toEqual([10_000, ['completed']]);
});

it('a `for await` loop ends after the frames of a chunk when an operator in front has completed', async () => {
  const server = await TestServer.open(async (connection) => {
    for await (const line of connection.pipe(take(1), lines())) await connection.write(`${line}.`);
  }, idle);
  const client = await server.connect();
  client.write('a\nb\nc\n').end();
  await server.clock.settle();
  expect([client.text, server.log.closes]).toEqual(['a.b.c.', ['completed']]);
});

it('a subscriber without a sender receives the frames of a chunk and the end, and then the connection ends', async () => {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const log: unknown[] = [];
  listen({ port: 0 }, { transport: network.transport, scheduler: clock }).subscribe((connection) => {
    let count = 0;
    connection.pipe(take(1), lines()).subscribe({ next: () => count++, complete: () => log.push(count) });
    connection.closed.subscribe(({ reason }) => log.push(reason));
  });
  await clock.settle();
  network.connect().write('a\n'.repeat(3000));
  await clock.settle();
  expect(log).toEqual([3000, 'completed']);
});

it.each([
  ['endWith', pipe(endWith(bytes('x\ny\n')), lines(), map(encodeLine))],
  ['an operator in place', pipe(withLast, lines(), map(encodeLine))],
  [
    'an operator behind another one',
    pipe(
      map((chunk: Uint8Array) => chunk),
      withLast,
      lines(),
      map(encodeLine),
    ),
  ],
])('what %s emits at the end is answered, however long the peer was silent before its FIN', async (_, operators) => {
  for (const silence of [0, 1, 30]) {
    const server = await TestServer.open((connection) => connection.pipe(operators), idle);
    const client = await server.connect();
    client.write('a\n');
    await server.clock.advance(silence);
    client.end();
    await server.clock.advance(20);
    expect([client.text, server.log.closes]).toEqual(['a\nx\ny\n', ['ended']]);
  }
});

it('what an operator emits for an error of the input is answered', async () => {
  const instead = operateBytes((sink) => ({
    error() {
      sink.next(bytes('x\ny\n'));
      sink.complete();
    },
  }));
  for (const operators of [
    pipe(instead, lines()),
    pipe(
      catchError(() => of(bytes('x\ny\n'))),
      lines(),
    ),
  ]) {
    const server = await TestServer.open((connection) => connection.pipe(operators, map(encodeLine)), {
      ...idle,
      idle: 50,
    });
    const client = await server.connect();
    client.write('a\n');
    await server.clock.advance(50);
    expect([client.text, client.ended]).toEqual(['a\nx\ny\n', true]);
  }
});

it('a drain drops the requests that wait after the end of the input', async () => {
  const slow = (line: string, connection: Connection) =>
    firstValueFrom(timer(10, clockOf(connection)).pipe(map(() => `${line}\n`)));
  const server = await TestServer.open(
    (connection) => exchange((input) => input.pipe(take(1), lines()), slow)(connection),
    idle,
  );
  const client = await server.connect();
  client.write('a\nb\nc\n');
  await server.clock.advance(15);
  await server.signal();
  client.end();
  await server.clock.advance(20);
  expect([client.text, server.log.closes]).toEqual(['a\nb\n', ['drained']]);
});

it('what is held goes at the pace of the peer after the end of the input', async () => {
  const handler = (connection: Connection) =>
    connection.pipe(
      take(1),
      lines(),
      map(() => 'x'.repeat(1000)),
    );
  const server = await TestServer.open(handler, { ...idle, highWaterMark: 5000, maxOutbound: 20_000 });
  const client = await server.connect({ window: 1000 });
  client.pause().write('a\n'.repeat(200));
  for (let ms = 0; ms < 300; ms++) {
    client.resume().pause();
    await server.clock.advance(1);
  }
  client.resume().end();
  await server.clock.settle();
  expect([client.text.length, server.log.closes]).toEqual([200_000, ['completed']]);
});

/** Completes with its first chunk, in place. */
const first = operateBytes((sink) => ({
  next(chunk) {
    sink.next(chunk);
    sink.complete();
  },
}));

describe.each([
  ['take', take<Uint8Array>(1)],
  ['an operator in place', first],
])('a `for await` loop over frames that are held after %s has completed', (_, front) => {
  it.each<[string, (client: MemoryClient, connection: Connection) => void, string]>([
    ['its client resets', (client) => client.break(), 'error'],
    ['it is aborted', (_client, connection) => connection.abort(), 'error'],
    ['we end it', (_client, connection) => connection.end(), 'end'],
  ])('ends, with its `finally`, when %s', async (_how, close, expected) => {
    const log: string[] = [];
    const served: Connection[] = [];
    const server = await TestServer.open(async (connection) => {
      served.push(connection);
      try {
        for await (const line of connection.pipe(front, lines())) {
          log.push(line);
          await firstValueFrom(timer(10, clockOf(connection)));
        }
        log.push('end');
      } catch {
        log.push('error');
      } finally {
        log.push('finally');
      }
    }, idle);
    const client = await server.connect();
    client.write('a\nb\nc\n');
    await server.clock.advance(15);
    for (const connection of served) close(client, connection);
    await server.clock.advance(30);
    expect(log).toEqual(['a', 'b', expected, 'finally']);
  });
});

it('a subscriber that receives its frames in several iterations is notified of an abort in between', async () => {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const log: string[] = [];
  listen({ port: 0 }, { transport: network.transport, scheduler: clock }).subscribe((connection) => {
    let count = 0;
    connection.pipe(take(1), lines()).subscribe({
      next: () => ++count === 1024 && queueMicrotask(() => connection.abort()),
      error: () => log.push(`error after ${count}`),
    });
  });
  await clock.settle();
  network.connect().write('a\n'.repeat(3000));
  await clock.settle();
  expect(log).toEqual(['error after 1024']);
});

it('a handler that subscribes in a drain, and whose operator emits at the end, drains', async () => {
  const handler = (connection: Connection) =>
    timer(10, clockOf(connection)).pipe(switchMap(() => connection.pipe(withLast, lines(), map(encodeLine))));
  const server = await TestServer.open(handler, idle);
  const client = await server.connect();
  await server.clock.advance(5);
  await server.signal();
  await server.clock.advance(10);
  client.end();
  await server.clock.settle();
  expect([client.text, server.log.closes]).toEqual(['x\ny\n', ['drained']]);
});

it('requests that are held when both sides have sent a FIN are still worked on', async () => {
  const requests: string[] = [];
  const server = await TestServer.open((connection) => {
    connection.halfClose();
    const work = (line: string) => {
      requests.push(line);
      return timer(10, clockOf(connection)).pipe(ignoreElements());
    };
    return exchange((input) => input.pipe(withLast, lines()), work, { concurrency: 1 })(connection);
  }, idle);
  const client = await server.connect();
  client.write('a\n');
  await server.clock.advance(20);
  client.end();
  await server.clock.advance(100);
  expect([requests, server.log.closes]).toEqual([['a', 'x', 'y'], ['ended']]);
});

it('each of two readers of one input that has ended is asked to finish in a drain', async () => {
  const slow = (line: string, connection: Connection) => of(`${line}\n`).pipe(delay(100, clockOf(connection)));
  const server = await TestServer.open((connection) => {
    const shared = connection.pipe(take(1), share());
    const replies = exchange(() => shared.pipe(lines()), slow, { concurrency: 1 });
    return merge(replies(connection), replies(connection));
  }, idle);
  const client = await server.connect();
  client.write('a\nb\nc\nd\n');
  await server.clock.advance(150);
  await server.signal();
  client.end();
  await server.clock.advance(100);
  // Both pause for one cause, so the second one has not begun.
  expect([client.text, server.log.closes]).toEqual(['a\nb\n', ['drained']]);
});

it('a report of 0 bytes before they are emitted does not end the connection of a subscriber without a sender', async () => {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const late = operateBytes((sink, control) => ({
    next(chunk) {
      const kept = Buffer.from(chunk);
      control.reportBuffered(kept.length, true);
      control.clock.schedule(() => {
        control.reportBuffered(0);
        sink.next(kept);
        sink.complete();
      }, 10);
    },
    complete() {},
  }));
  const log: unknown[] = [];
  listen({ port: 0 }, { transport: network.transport, scheduler: clock }).subscribe((connection) => {
    connection.pipe(take(1), late, lines({ unterminated: 'emit' })).subscribe((line) => log.push(line));
    connection.closed.subscribe(({ reason }) => log.push(reason));
  });
  await clock.settle();
  network.connect().write('a\nb\nc');
  await clock.advance(20);
  expect(log).toEqual(['a', 'b', 'c', 'completed']);
});

it('a FIN that was retained by a pause is passed on when a drain ends the pause', async () => {
  const pausing = operateBytes((sink, control) => ({
    next(chunk) {
      sink.next(chunk);
      control.pause();
    },
    drain() {
      control.resume();
      sink.drain();
    },
  }));
  const server = await TestServer.open((connection) => connection.pipe(pausing, lines(), map(encodeLine)), idle);
  const client = await server.connect();
  client.write('a\nb').end();
  await server.clock.settle();
  await server.signal();
  expect(server.log.closes).toEqual(['frame-truncated']);
});
