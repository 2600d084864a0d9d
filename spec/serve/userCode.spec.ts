import fc from 'fast-check';
import {
  catchError,
  concat,
  concatMap,
  EMPTY,
  finalize,
  ignoreElements,
  type MonoTypeOperatorFunction,
  map,
  merge,
  mergeMap,
  NEVER,
  Observable,
  of,
  repeat,
  retry,
  Subject,
  Subscription,
  tap,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Counters } from '../../lib/events.ts';
import {
  BLANK,
  broadcast,
  type Connection,
  type Decoder,
  exchange,
  frames,
  lines,
  listen,
  PENDING,
} from '../../lib/index.ts';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { type MemoryClient, MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { internalsOf } from '../support/internals.ts';
import { TestServer } from '../support/testServer.ts';
import { collectUnhandled } from '../support/unhandled.ts';

// Otherwise the errors that RxJS reports as unhandled would end the run.
collectUnhandled();

/** User code that does something wrong or unusual in the place where it is called. */
type Fault = (connection: Connection) => unknown;

const boom = () => {
  throw new Error('boom');
};

/** Writes only before the end, because Node prints a warning for a promise that is rejected where the stack is full. */
const writeTo = (one: Connection) => {
  if (!internalsOf(one).over) one.write('x');
};

const endless = (): number => 1 + endless();

/**
 * Fills the stack, and calls back from each of the last 300 frames while the stack unwinds.
 *
 * @param pad Number of arguments of each frame: it varies the size of the frames.
 */
function nearStackOverflow(callback: () => void, pad: number): never {
  const padding: number[] = Array.from({ length: pad });
  let calls = 0;
  const fall = (...rest: number[]): never => {
    try {
      return fall(...rest);
    } catch (error) {
      if (calls < 300) {
        callback();
        calls++;
      }
      throw error;
    }
  };
  return fall(...padding);
}

const faults: Record<string, Fault> = {
  throws: boom,
  'throws undefined': () => {
    throw undefined;
  },
  'throws a frozen error': () => {
    throw Object.freeze(new Error('frozen'));
  },
  'fills the stack': endless,
  ends: (one) => one.end(),
  aborts: (one) => one.abort(),
  drains: (one) => one.drain(),
  'half closes': (one) => one.halfClose(),
  'writes without end': (one) => {
    const write = (): void => {
      writeTo(one);
      write();
    };
    write();
  },
  'subscribes again': (one) => one.subscribe(),
  'subscribes again and again': (one) => one.pipe(retry()).subscribe(),
  'sends again': (one) => of('x').pipe(one.send()).subscribe(),
  'sends again and again': (one) => of('x').pipe(one.send(), retry()).subscribe(),
  'ends and throws': (one) => {
    one.end();
    boom();
  },
  'aborts and throws': (one) => {
    one.abort();
    boom();
  },
};

const calls: Record<string, (one: Connection) => void> = {
  ends: (one) => one.end(),
  aborts: (one) => one.abort(),
  drains: (one) => one.drain(),
  'half closes': (one) => one.halfClose(),
  writes: writeTo,
};

const fault = fc.oneof(
  fc.constantFrom(...Object.entries(faults)),
  fc
    .tuple(fc.constantFrom(...Object.entries(calls)), fc.nat(40))
    .map(([[name, call], pad]): [string, Fault] => [
      `${name} near a stack overflow (${pad})`,
      (one) => nearStackOverflow(() => call(one), pad),
    ]),
);

/** A decoder of lines that runs a fault in one of its members. */
const decoding = (member: keyof Decoder<string>, work: () => unknown): Decoder<string> => {
  let partial = '';
  return {
    get buffered() {
      if (member === 'buffered') work();
      return partial.length;
    },
    decode(input) {
      if (member === 'decode') work();
      const end = input.bytes.indexOf('\n', input.at);
      const from = input.at;
      input.at = end < 0 ? input.bytes.length : end + 1;
      partial += input.bytes.toString('latin1', from, input.at);
      if (end < 0) return PENDING;
      const line = partial;
      partial = '';
      return line;
    },
    decodeEof() {
      if (member === 'decodeEof') work();
      return BLANK;
    },
  };
};

const framed = (one: Connection) =>
  one.pipe(
    lines(),
    map((line) => `${line}\n`),
  );

/** Each place where user code is called: a handler that runs a fault there. */
const places: Record<string, (work: Fault) => Handler> = {
  'in the handler': (work) => (one) => {
    work(one);
    return framed(one);
  },
  'in a projector': (work) => (one) => framed(one).pipe(tap(() => work(one))),
  'in a projector behind catchError that subscribes again': (work) => (one) =>
    framed(one).pipe(
      tap(() => work(one)),
      catchError((_error, caught) => caught),
    ),
  'in a projector behind repeat and retry': (work) => (one) =>
    framed(one).pipe(
      tap(() => work(one)),
      repeat(),
      retry(),
    ),
  'when the input completes': (work) => (one) => framed(one).pipe(tap({ complete: () => work(one) })),
  'when the pipe fails': (work) => (one) => framed(one).pipe(tap({ next: boom }), tap({ error: () => work(one) })),
  'in a teardown': (work) => (one) => framed(one).pipe(finalize(() => work(one))),
  'in a teardown of a handler that never completes': (work) => (one) =>
    merge(framed(one), NEVER).pipe(finalize(() => work(one))),
  'in a subscription': (work) => (one) => merge(framed(one), new Observable<never>(() => void work(one))),
  'when it drains': (work) => (one) => {
    one.draining.subscribe(() => work(one));
    return framed(one).pipe(tap(() => one.drain()));
  },
  'when it is closed': (work) => (one) => {
    one.closed.subscribe(() => work(one));
    return framed(one);
  },
  'in a teardown of a subscription to `closed`': (work) => (one) => {
    one.closed.pipe(finalize(() => work(one))).subscribe({ error: () => undefined });
    return framed(one);
  },
  'in decode of a decoder': (work) => (one) => one.pipe(frames(() => decoding('decode', () => work(one)))),
  'in decodeEof of a decoder': (work) => (one) => one.pipe(frames(() => decoding('decodeEof', () => work(one)))),
  'in the getter buffered of a decoder': (work) => (one) =>
    one.pipe(frames(() => decoding('buffered', () => work(one)))),
  'in an exchange': (work) =>
    exchange(lines(), (line, one) => {
      work(one);
      return `${line}\n`;
    }),
  'in an exchange after an await': (work) =>
    exchange(
      lines(),
      async (line, one) => {
        await Promise.resolve();
        work(one);
        return `${line}\n`;
      },
      { concurrency: 2 },
    ),
  'in onError': (work) => (one) =>
    exchange(lines(), boom, {
      onError: () => {
        work(one);
        return 'sorry\n';
      },
    })(one),
  'in a generator': (work) =>
    exchange(lines(), function* (line, one) {
      yield `${line}\n`;
      work(one);
      yield 'more\n';
    }),
  'in the finally of an async generator': (work) =>
    async function* (one) {
      try {
        for await (const line of one.pipe(lines())) yield `${line}\n`;
      } finally {
        work(one);
      }
    },
  'in a loop': (work) => async (one) => {
    for await (const line of one.pipe(lines())) {
      await one.write(`${line}\n`);
      work(one);
    }
  },
  'in a broadcast': (work) => {
    const room = broadcast();
    return (one) =>
      merge(
        room.to(one).pipe(tap(() => work(one))),
        one.pipe(
          lines(),
          tap((line) => room.next(`${line}\n`)),
          ignoreElements(),
        ),
      );
  },
  'behind send()': (work) => (one) => {
    // The handler's own send() fails, because the server has already called it. The handler falls back to its output.
    const sent = framed(one).pipe(
      one.send(),
      finalize(() => work(one)),
    );
    return concat(sent.pipe(catchError(() => EMPTY)), framed(one).pipe(concatMap((line) => of(line))));
  },
};

const leaves = fc.constantFrom('stays', 'ends', 'resets', 'pauses');

const deadlines: ServeOptions = {
  concurrency: 3,
  idle: 1000,
  greeting: 1000,
  frame: 1000,
  reply: 1000,
  linger: 100,
  stall: 500,
};
const never = Number.POSITIVE_INFINITY;
const noDeadlines: ServeOptions = { ...deadlines, idle: never, greeting: never, frame: never, reply: never };

/** One more than there are slots. */
const CLIENTS = 4;

/**
 * Serves clients with a faulty handler, and checks that all are closed. Then serves one more client, without the fault.
 *
 * @param healthy Called when the fault is to stop.
 * @param leave What each client does after its request.
 */
async function serveFaulty(
  handler: Handler,
  healthy: () => void,
  leave: string,
  options: ServeOptions,
): Promise<TestServer> {
  const server = await TestServer.open(handler, options);
  const clients: MemoryClient[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const one = server.network.connect({ window: 16 });
    clients.push(one);
    if (leave === 'pauses') one.pause();
    one.write('a\nb\n');
    await server.clock.settle();
    if (leave === 'ends') one.end();
    if (leave === 'resets') one.break();
    await server.clock.settle();
  }
  // Far longer than all deadlines together. Without deadlines, the clients free their slots with a reset.
  await server.clock.advance(60_000);
  if (options.idle === never) {
    for (const one of clients) one.resume().break();
    await server.clock.advance(60_000);
  }
  const { accepted, ...counters } = server.log.counters;
  expect(counters).toEqual({ waiting: 0, active: 0, closed: CLIENTS - counters.refused, refused: counters.refused });
  expect(accepted).toBe(CLIENTS);
  expect([...server.network.sockets]).toEqual([]);

  healthy();
  const fresh = server.network.connect().write('hello\n');
  await server.clock.settle();
  fresh.end();
  await server.clock.settle();
  expect(fresh.text).toContain('hello\n');
  expect(fresh.ended).toBe(true);
  expect(server.log.counters).toMatchObject({ waiting: 0, active: 0 });
  return server;
}

describe('user code that fails, recurses or ends the connection in any place', () => {
  it.each(Object.entries(places))('keeps no slot, and the next client is served: %s', async (_name, place) => {
    await fc.assert(
      fc.asyncProperty(fault, leaves, fc.constantFrom(deadlines, noDeadlines), async ([, work], leave, options) => {
        let healthy = false;
        const handler = place((one) => (healthy ? undefined : work(one)));
        const fresh: Handler = (one) => (healthy ? framed(one) : handler(one));
        await serveFaulty(fresh, () => (healthy = true), leave, options);
      }),
      { numRuns: 25 },
    );
  });
});

describe('a server whose events are observed', () => {
  const observers: Record<string, (server: { stop(): void; shutdown(): void }) => void> = {
    throws: boom,
    'fills the stack': () => void endless(),
    unsubscribes: (server) => server.stop(),
    'begins a drain': (server) => server.shutdown(),
  };
  const eventTypes = ['listening', 'opened', 'failed', 'closed', 'refused', 'draining', 'drained'] as const;
  const cases = eventTypes.flatMap((type) => Object.entries(observers).map(([name, react]) => ({ type, name, react })));

  it.each(cases)('keeps no connection and no port when its observer $name at `$type`', async ({ type, react }) => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const signal = new Subject<void>();
    const types: string[] = [];
    let counters: Counters | undefined;
    const server = serve({ port: 0 }, (one) => framed(one).pipe(tap((line) => line === 'bad\n' && boom())), {
      ...deadlines,
      concurrency: 1,
      waiting: { max: 0 },
      transport: network.transport,
      scheduler: clock,
      shutdown: signal,
    });
    const subscription = new Subscription();
    subscription.add(
      server.subscribe((event) => {
        types.push(event.type);
        if (event.type === 'listening') counters = event.counters;
        if (event.type === type) react({ stop: () => subscription.unsubscribe(), shutdown: () => signal.next() });
      }),
    );
    await clock.settle();
    for (const line of ['good\n', 'bad\n']) {
      const one = network.connect().write(line);
      const other = network.connect();
      await clock.settle();
      one.end();
      other.end();
      await clock.settle();
    }
    signal.next();
    await clock.advance(60_000);
    expect(types).toContain(type);
    expect(network.listening).toBe(false);
    expect([...network.sockets]).toEqual([]);
    expect(counters).toMatchObject({ waiting: 0, active: 0 });
    const { accepted = 0, closed = 0, refused = 0 } = counters ?? {};
    expect(closed + refused).toBe(accepted);
  });
});

it.each([Number.NaN, 2, '0.5', undefined])(
  'a random number of %o for the lifetime fails its connection only',
  async (chance) => {
    let random = () => chance as number;
    const server = await TestServer.open(framed, { ...deadlines, lifetime: 10_000, random: () => random() });
    const one = await server.connect();
    one.end();
    await server.clock.settle();
    expect(server.log.types).toEqual(['listening', 'opened', 'failed', 'closed']);
    random = () => 0.5;
    const next = await server.connect();
    next.write('hello\n').end();
    await server.clock.settle();
    expect(next.text).toBe('hello\n');
    expect(server.log.closes).toEqual(['failed', 'ended']);
  },
);

describe('a handler that subscribes to its input again after each error', () => {
  const again: Record<string, MonoTypeOperatorFunction<string>> = {
    'with catchError': catchError((_error, caught) => caught),
    'with retry': retry(),
    'with retry, a few times': retry(3),
    'with retry and repeat': (source) => source.pipe(retry(), repeat()),
  };

  it.each(Object.entries(again))(
    'fails its connection, and the next one gets its slot: %s',
    async (_name, operator) => {
      const failing = (one: Connection) =>
        one.pipe(
          lines(),
          map((line) => (line === 'bad' ? boom() : `${line}\n`)),
          operator,
        );
      const server = await TestServer.open(failing, { ...noDeadlines, concurrency: 2 });
      for (let i = 0; i < 5; i++) {
        const one = await server.connect();
        one.write('good\nbad\n');
        await server.clock.settle();
        expect(one.text).toBe('good\n');
        expect(one.ended).toBe(true);
        one.end();
        await server.clock.settle();
      }
      expect(server.log.closes).toEqual(Array(5).fill('failed'));
      expect(server.log.of('failed')).toHaveLength(5);
      expect(server.log.counters).toEqual({ accepted: 5, waiting: 0, active: 0, closed: 5, refused: 0 });
    },
  );

  /** Without send(), the first error unsubscribes from the connection, which closes as completed. */
  const pipes: Record<string, (one: Connection) => Observable<unknown>> = {
    'without send()': (one) => one.pipe(lines(), map(boom), again['with catchError'] as never),
    'with send() in front of the operator': (one) =>
      one.pipe(lines(), map(boom), one.send(), again['with retry'] as never),
    'with send() behind the operator': (one) => one.pipe(lines(), map(boom), again['with retry'] as never, one.send()),
  };

  it.each(Object.entries(pipes))('frees its slot behind `listen`, %s', async (name, handle) => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const ends: string[] = [];
    const served = listen({ port: 0 }, { transport: network.transport, scheduler: clock, linger: 100 })
      .pipe(
        mergeMap((one) => {
          one.closed.subscribe(({ reason }) => ends.push(reason));
          return handle(one).pipe(catchError(() => EMPTY));
        }, 1),
      )
      .subscribe();
    await clock.settle();
    for (let i = 0; i < 3; i++) {
      const one = network.connect().write('bad\n');
      await clock.settle();
      one.end();
      await clock.advance(200);
    }
    expect(ends).toEqual(Array(3).fill(name === 'without send()' ? 'completed' : 'failed'));
    served.unsubscribe();
  });
});
