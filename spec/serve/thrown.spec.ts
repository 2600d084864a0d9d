import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { config, finalize, map, mergeMap, tap } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BLANK, exchange, frames, lines, logTo } from '../../lib/index.ts';
import { type Handler, serve } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

const wrong = (): never => {
  throw new Error('accessed');
};

/** A handler of a proxy that throws for every operation. */
const throwing: ProxyHandler<object> = new Proxy({}, { get: () => wrong });

const getter = (name: string) => Object.defineProperty(new Error('a message'), name, { get: wrong });

const cyclic = () => {
  const one = new Error('one');
  const other = new Error('other', { cause: one });
  return Object.assign(one, { cause: other, itself: one });
};

const deep = () => {
  let error = new Error('the first');
  for (let i = 0; i < 2000; i++) error = new Error(`cause ${i}`, { cause: error });
  return error;
};

const things: Record<string, () => unknown> = {
  'a frozen error': () => Object.freeze(new Error('frozen')),
  'a sealed error': () => Object.seal(new Error('sealed')),
  'an error with cyclic causes': cyclic,
  'an error with two thousand causes': deep,
  'an AggregateError without a message': () => new AggregateError([new Error('one'), 'two', Symbol('three')]),
  'an AggregateError that contains itself': () => {
    const all = new AggregateError([new Error('one')]);
    all.errors.push(all);
    return all;
  },
  'an error of a megabyte': () => new Error('x'.repeat(1e6)),
  'an error of another realm': () => runInNewContext('new TypeError("foreign")'),
  ...Object.fromEntries(
    ['message', 'stack', 'name', 'cause', 'constructor', 'errors', 'code', 'toJSON'].map((name) => [
      `an error whose ${name} throws`,
      () => getter(name),
    ]),
  ),
  'an error that inherits from a proxy': () =>
    Object.setPrototypeOf(new Error('x'), new Proxy(Error.prototype, throwing)),
  'a proxy that throws': () => new Proxy(new Error('x'), throwing),
  'a proxy that is revoked': () => {
    const { proxy, revoke } = Proxy.revocable(new Error('x'), {});
    revoke();
    return proxy;
  },
  'an object without a prototype': () => Object.assign(Object.create(null), { code: 5 }),
  'a cyclic object': () => {
    const one: Record<string, unknown> = { code: 5 };
    one.itself = one;
    return one;
  },
  'a symbol': () => Symbol('thrown'),
  'a function': () => wrong,
  'a bigint': () => 10n,
  'a string': () => 'thrown',
  null: () => null,
  undefined: () => undefined,
};

const places: Record<string, (thrower: () => never) => Handler> = {
  'in the handler': (thrower) => thrower,
  'in a promise of the handler': (thrower) => async () => thrower(),
  'in a projector': (thrower) => (one) => one.pipe(lines(), map(thrower)),
  'in a projector that awaits': (thrower) => (one) =>
    one.pipe(
      lines(),
      mergeMap(async () => thrower()),
    ),
  'in an exchange': (thrower) => exchange(lines(), thrower),
  'in a promise of an exchange': (thrower) => exchange(lines(), async () => thrower()),
  'in onError': (thrower) => exchange(lines(), wrong, { onError: thrower }),
  'in a generator': (thrower) =>
    exchange(lines(), function* () {
      yield thrower();
    }),
  'in an async generator': (thrower) =>
    async function* () {
      yield thrower();
    },
  'in a loop': (thrower) => async (one) => {
    for await (const _line of one.pipe(lines())) thrower();
  },
  'in a decoder': (thrower) => (one) =>
    one.pipe(frames(() => ({ buffered: 0, decode: thrower, decodeEof: () => BLANK }))),
  'in a teardown': (thrower) => (one) =>
    one.pipe(
      lines(),
      tap(() => one.end()),
      finalize(thrower),
    ),
  'in the result of an async iterator': (thrower) => () => ({
    [Symbol.asyncIterator]: () => ({ next: async () => Object.defineProperty({}, 'done', { get: thrower }) as never }),
  }),
  'in the result of an iterator': (thrower) => () => ({
    [Symbol.iterator]: () => ({ next: () => Object.defineProperty({}, 'done', { get: thrower }) as never }),
  }),
};

/** Places where `failed` reports another error that the library or RxJS makes of the thrown value. */
const wrapped = ['in a decoder', 'in a teardown'];

/** The keys of a value, and whether it is frozen or sealed. */
function shape(thing: unknown): unknown {
  if (typeof thing !== 'object' || thing === null) return typeof thing;
  try {
    return [Reflect.ownKeys(thing), Object.isFrozen(thing), Object.isSealed(thing)];
  } catch {
    return 'nothing';
  }
}

/** Whether a value is an error of this realm. Even `instanceof` may throw for a proxy. */
function isError(thing: unknown): boolean {
  try {
    return thing instanceof Error;
  } catch {
    return false;
  }
}

/** The errors that RxJS reports as unhandled. */
const unhandled: unknown[] = [];
beforeEach(() => {
  config.onUnhandledError = (error) => unhandled.push(error);
});
afterEach(async () => {
  await new Promise((resolve) => setTimeout(resolve));
  config.onUnhandledError = null;
  expect(unhandled.splice(0)).toEqual([]);
});

/** Each value in a few places, and a few values in each place. */
const few = ['in the handler', 'in a promise of an exchange', 'in a decoder', 'in a teardown'];
const many = ['a frozen error', 'a proxy that throws'];
const cases = Object.keys(things).flatMap((thing) =>
  Object.keys(places)
    .filter((place) => few.includes(place) || many.includes(thing))
    .map((place) => [thing, place] as const),
);

describe('a thrown value', () => {
  it.each(cases)('is logged as one line, fails one connection only and is not changed: %s %s', async (name, place) => {
    const thing = things[name]?.();
    const before = shape(thing);
    const failing = places[place]?.(() => {
      throw thing;
    });
    let first = true;
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const logLines: Record<string, unknown>[] = [];
    const logger = pino({ level: 'trace' }, { write: (line: string) => void logLines.push(JSON.parse(line)) });
    const server = serve(
      { port: 0 },
      (one) => {
        if (!first || failing === undefined) return one.pipe(lines());
        first = false;
        return failing(one);
      },
      { transport: network.transport, scheduler: clock },
    );
    const log = new Log();
    const logged = logTo(logger);
    const subscription = server.subscribe({
      next: (event) => {
        log.next(event);
        logged.next(event);
      },
      error: logged.error,
    });
    await clock.settle();
    const one = network.connect().write('go\n');
    await clock.settle();
    one.end();
    await clock.settle();
    const next = network.connect().write('hello\n');
    await clock.settle();
    expect(next.text).toBe('hello');
    // A decoder that throws a value other than an error rejects the frame as invalid, which counts as a fault of the peer.
    const isInvalid = place === 'in a decoder' && !isError(thing);
    const reason = isInvalid ? 'frame-invalid' : place === 'in a teardown' ? 'completed' : 'failed';
    expect(log.of('closed')).toMatchObject([{ id: 1, reason }]);
    expect(log.of('failed')).toHaveLength(isInvalid ? 0 : 1);
    if (!wrapped.includes(place)) {
      // Deep equality would access the properties of the value.
      expect(Object.is(log.of('failed')[0]?.error, thing)).toBe(true);
    }
    expect(logLines.map(({ type }) => type)).toEqual(log.types);
    for (const line of logLines) expect(JSON.stringify(line).length).toBeLessThan(100_000);
    expect(logLines.every(({ msg }) => typeof msg === 'string' && msg !== '')).toBe(true);
    expect(shape(thing)).toEqual(before);
    subscription.unsubscribe();
  });
});
