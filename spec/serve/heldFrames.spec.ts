// Frames that an operator still holds when the input has ended, or is unsubscribed by an operator in front.
import {
  catchError,
  delay,
  EMPTY,
  endWith,
  firstValueFrom,
  map,
  type Observable,
  of,
  pipe,
  type SchedulerLike,
  take,
  takeUntil,
  takeWhile,
  timeout,
  timer,
} from 'rxjs';
import { expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { operateBytes } from '../../lib/connection/operateBytes.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { delimited } from '../../lib/framing/delimited.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import { listen } from '../../lib/listen/listen.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
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
  client.write('a\n'.repeat(5000)).end();
  await server.clock.settle();
  expect([client.text.length, server.log.closes]).toEqual([10_000, ['ended']]);
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
