import { concat, EMPTY, finalize, map, mergeMap, NEVER, Observable, of, tap, throwError, timer } from 'rxjs';
import { afterEach, expect, it } from 'vitest';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import type { Connection } from '../../lib/index.ts';
import { type Handler, serve } from '../../lib/serve.ts';
import { client, clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';

const servers: Log[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  closeClients();
});

const fault = new Error('the fault of one handler');
const requests = (connection: Connection) => connection.pipe(lines());
const crash = () => {
  throw fault;
};

interface Case {
  handler: Handler;
  /** How many `failed` events there are. */
  failed: number;
  reason: string;
  /** What the client receives before the end. */
  received?: string;
}

const CASES: Record<string, Case> = {
  'throws before it returns': { handler: crash, failed: 1, reason: 'failed' },
  'returns nothing': { handler: () => undefined as never, failed: 1, reason: 'failed' },
  'throws in its projector': { handler: (one) => requests(one).pipe(map(crash)), failed: 1, reason: 'failed' },
  'throws in a projector on a timer': {
    handler: (one) => requests(one).pipe(mergeMap(() => timer(5).pipe(map(crash)))),
    failed: 1,
    reason: 'failed',
  },
  'throws when it subscribes': { handler: () => new Observable(crash), failed: 1, reason: 'failed' },
  errors: {
    handler: (one) => requests(one).pipe(mergeMap(() => throwError(() => fault))),
    failed: 1,
    reason: 'failed',
  },
  'errors after it has answered': {
    handler: (one) =>
      requests(one).pipe(
        mergeMap((line) =>
          concat(
            of(encodeLine(line)),
            throwError(() => fault),
          ),
        ),
      ),
    failed: 1,
    reason: 'failed',
    received: 'go\n',
  },
  'errors with undefined': {
    handler: (one) => requests(one).pipe(mergeMap(() => throwError(() => undefined))),
    failed: 1,
    reason: 'failed',
  },
  'emits a value that cannot be sent': {
    handler: (one) => requests(one).pipe(map(() => 5 as never)),
    failed: 1,
    reason: 'failed',
  },
  rejects: { handler: () => Promise.reject<string>(fault), failed: 1, reason: 'failed' },
  'rejects later': {
    handler: (one) => new Promise<never>((_, reject) => requests(one).subscribe(() => reject(fault))),
    failed: 1,
    reason: 'failed',
  },
  'throws in an async generator': {
    handler: async function* () {
      yield 'sent\n';
      throw fault;
    },
    failed: 1,
    reason: 'failed',
    received: 'sent\n',
  },
  'throws in its teardown': {
    handler: (one) => concat(requests(one).pipe(map(encodeLine)), NEVER).pipe(finalize(crash)),
    failed: 1,
    reason: 'reset',
    received: 'go\n',
  },
  // RxJS itself reports this error to no subscriber, because the subscriber is closed before its teardown is added.
  'throws in its teardown within the call that subscribes to it': {
    handler: () => of('bye\n').pipe(finalize(crash)),
    failed: 0,
    reason: 'completed',
    received: 'bye\n',
  },
  'throws in the teardown of a timer that has completed': {
    handler: () =>
      timer(5).pipe(
        map(() => 'bye\n'),
        finalize(crash),
        map((text) => text),
      ),
    failed: 1,
    reason: 'failed',
    received: 'bye\n',
  },
  'completes at once': { handler: () => EMPTY, failed: 0, reason: 'completed' },
  'errors after it has completed': {
    handler: () =>
      new Observable((to) => {
        to.next('bye\n');
        to.complete();
        to.error(fault);
        to.next('more\n');
      }),
    failed: 0,
    reason: 'completed',
    received: 'bye\n',
  },
  'never completes, and never reads': { handler: () => NEVER, failed: 0, reason: 'greeting' },
};

it.each(Object.entries(CASES))(
  'a handler that %s closes its own connection, with at most one `failed` event, and 100 other connections are served',
  async (_name, { handler, failed, reason, received }) => {
    let first = true;
    const log = Log.follow(
      serve(
        { port: 0, host: '127.0.0.1' },
        (connection) => {
          if (!first) return requests(connection).pipe(map(encodeLine));
          first = false;
          return handler(connection);
        },
        // A connection that misses the greeting deadline stays for the linger, so that one is short. In all other cases both are
        // long, because the client closes first: it has time to notice the FIN.
        reason === 'greeting' ? { greeting: 2000, linger: 500 } : { greeting: 10_000, linger: 5000 },
      ),
    );
    servers.push(log);
    const port = await log.whenListening();
    const bad = client(port);
    await log.until(({ counters }) => counters.accepted === 1);
    const others = clients(100, port);
    for (const one of others) one.write('before\n');
    await Promise.all(others.map((one) => one.whenRead('before\n')));

    if (reason !== 'greeting') bad.write('go\n');
    if (received) await bad.whenRead(received);
    if (reason === 'reset') bad.reset();
    await log.whenEmitted('closed');
    await bad.whenClosed();

    expect(bad.text).toBe(received ?? '');
    if (reason !== 'reset') expect(bad.fault).toBeUndefined();
    const [closed] = log.of('closed');
    expect(closed).toMatchObject({ id: 1 });
    expect(closed?.deadline ?? closed?.reason).toBe(reason);
    expect(log.of('failed').map(({ id }) => id)).toEqual(Array(failed).fill(1));

    for (const one of others) one.write('after\n');
    await Promise.all(others.map((one) => one.whenRead('before\nafter\n')));
    expect(log.of('closed')).toHaveLength(1);
    expect(log.counters).toMatchObject({ active: 100, closed: 1, waiting: 0, refused: 0 });
  },
);

it('fifty connections that are reset, fail their handler, or end at any point are all counted as closed', async () => {
  const log = Log.follow(
    serve(
      { port: 0, host: '127.0.0.1' },
      (connection) =>
        requests(connection).pipe(
          tap((line) => line === 'crash' && crash()),
          map(encodeLine),
        ),
      {
        concurrency: 2,
      },
    ),
  );
  servers.push(log);
  const port = await log.whenListening();
  for (let round = 0; round < 50; round++) {
    const one = await client(port).whenConnected();
    if (round % 5 === 0) one.reset();
    else if (round % 5 === 1) one.write('crash\n');
    else if (round % 5 === 2) one.write('half').reset();
    else if (round % 5 === 3) one.write('x\n'.repeat(1000)).reset();
    else one.write('whole\n').end();
    await one.whenClosed();
    await log.whenEmitted('closed', round + 1);
  }
  expect(log.of('failed')).toHaveLength(10);
  expect(log.counters).toEqual({ accepted: 50, waiting: 0, active: 0, closed: 50, refused: 0 });
});
