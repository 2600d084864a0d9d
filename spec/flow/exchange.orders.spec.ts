import fc from 'fast-check';
import { concat, defer, finalize, Observable, of, tap } from 'rxjs';
import { expect, it } from 'vitest';
import { exchange, type Reply } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { internalsOf } from '../support/internals.ts';
import { talk } from '../support/talk.ts';

const kinds = ['value', 'promise', 'pieces', 'generator', 'async generator', 'failing'] as const;
type Kind = (typeof kinds)[number];

const disturbances = ['reply', 'pause', 'resume', 'drain', 'reset', 'settle'] as const;

/** The reply to a request, in pieces. Each piece is one value, and names its request and its place. */
const pieces = (request: number): string[] => [`<${request}:0>`, `<${request}:1>`, `<${request}:2>`];
const whole = (request: number): string => pieces(request).join('');

const arbitrary = {
  scheduler: fc.scheduler(),
  requests: fc.array(fc.constantFrom<Kind>(...kinds), { maxLength: 12 }),
  chunks: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
  concurrency: fc.integer({ min: 1, max: 4 }),
  ordered: fc.boolean(),
  window: fc.integer({ min: 1, max: 40 }),
  highWaterMark: fc.integer({ min: 1, max: 40 }),
};

/** What happens in between, one event after the other, while replies become ready. */
const disturbed = (...weights: number[]) =>
  fc.array(fc.oneof(...disturbances.map((what, i) => ({ weight: weights[i] ?? 0, arbitrary: fc.constant(what) }))), {
    maxLength: 40,
  });

interface Case {
  readonly scheduler: fc.Scheduler;
  readonly requests: readonly Kind[];
  readonly chunks: readonly number[];
  readonly concurrency: number;
  readonly ordered: boolean;
  readonly window: number;
  readonly highWaterMark: number;
  readonly happenings: readonly (typeof disturbances)[number][];
}

/** Runs a conversation to its end, checks the laws at every step, and returns what the client has read. */
async function converse(made: Case) {
  const { scheduler, requests, concurrency, ordered, window, highWaterMark } = made;
  const begun: number[] = [];
  let running = 0;
  let most = 0;

  const ready = (piece: string) => scheduler.schedule(Promise.resolve(piece), piece);
  const reply = (kind: Kind, request: number): Reply => {
    const [one = '', two = '', three = ''] = pieces(request);
    switch (kind) {
      case 'value':
        return whole(request);
      case 'promise':
        return ready(whole(request));
      case 'pieces':
        return concat(...pieces(request).map((piece) => defer(() => ready(piece))));
      case 'generator':
        return (function* () {
          yield one;
          yield two;
          yield three;
        })();
      case 'async generator':
        return (async function* () {
          yield await ready(one);
          yield await ready(two);
          yield three;
        })();
      case 'failing':
        return ready('').then(() => {
          throw request;
        });
    }
  };

  /** Counts the requests in progress, until they complete or are unsubscribed. A promise cannot be unsubscribed. */
  const counted = (kind: Kind, request: number): Reply => {
    const work = reply(kind, request);
    if (typeof work === 'string') return work;
    most = Math.max(most, ++running);
    let runs = true;
    const over = () => {
      if (runs) running--;
      runs = false;
    };
    if (work instanceof Promise) return work.finally(over);
    if (work instanceof Observable) return work.pipe(tap({ complete: over }), finalize(over));
    const values = work as AsyncGenerator<string> & Generator<string>;
    return (Symbol.asyncIterator in values ? laterOver(values, over) : nowOver(values, over)) as Reply;
  };

  const project = (line: string): Reply => {
    const request = Number(line);
    begun.push(request);
    return counted(requests[request] as Kind, request);
  };
  const replies = exchange(lines(), project, {
    concurrency,
    ordered,
    onError: (_error, line) => of(...pieces(Number(line))),
  });
  let isUnsubscribed = false;
  const talking = await talk((connection) => replies(connection).pipe(finalize(() => (isUnsubscribed = true))), {
    window,
    highWaterMark,
  });
  const { client, clock, connection, owner } = talking;
  const text = requests.map((_kind, request) => `${request}\n`).join('');
  for (let at = 0, i = 0; at < text.length; i++) {
    const length = made.chunks[i % made.chunks.length] as number;
    client.write(text.slice(at, at + length));
    at += length;
  }
  client.end();

  let drained: number | undefined;
  let reset = false;
  const seen = () => client.text;
  const laws = () => {
    expect(begun).toEqual(requests.map((_kind, request) => request).slice(0, begun.length));
    const expected = begun.map(whole).join('');
    if (ordered) expect(expected.startsWith(seen())).toBe(true);
    // A request whose frame had begun to arrive may still begin when the frame is complete.
    if (drained !== undefined) expect(begun.length).toBeLessThanOrEqual(drained);
    // While the input is paused, only the real network notices a reset.
    if (reset && !internalsOf(connection).control.isPaused) expect(isUnsubscribed).toBe(true);
  };
  const happenings = [...made.happenings];
  for (;;) {
    await clock.settle();
    laws();
    const happens = happenings.shift() ?? 'reply';
    if (happens === 'pause') client.pause();
    else if (happens === 'resume') client.resume();
    else if (happens === 'settle') await clock.settle();
    else if (happens === 'drain') {
      connection.drain();
      const half = (begun.length < requests.length && text.indexOf(`${begun.length}\n`)) || 0;
      drained ??= begun.length + (connection.bytesIn > half ? 1 : 0);
    } else if (happens === 'reset' && !reset) {
      reset = true;
      client.resume().break();
    } else if (scheduler.count() > 0) await scheduler.waitOne();
    else if (happenings.length === 0) {
      client.resume();
      await clock.settle();
      laws();
      if (scheduler.count() === 0) break;
    }
  }
  await clock.advance(20_000);
  laws();
  return { seen: seen(), begun, most, running, reset, drained, owner, talking };
}

function* nowOver(values: Iterable<string>, over: () => void) {
  try {
    yield* values;
  } finally {
    over();
  }
}

async function* laterOver(values: AsyncIterable<string>, over: () => void) {
  try {
    yield* values;
  } finally {
    over();
  }
}

const run = (happenings: fc.Arbitrary<(typeof disturbances)[number][]>, test: (made: Case) => Promise<void>) =>
  fc.assert(
    fc.asyncProperty(fc.record({ ...arbitrary, happenings }), async (made) => test(made as Case)),
    { numRuns: 300 },
  );

it('sends replies in the order of their requests, none lost or doubled, whenever and in whatever order they become ready', () =>
  run(disturbed(6, 2, 2, 0, 0, 1), async (made) => {
    const { seen, begun, most, running, owner } = await converse({ ...made, ordered: true });
    expect(seen).toBe(made.requests.map((_kind, request) => whole(request)).join(''));
    expect(begun.length).toBe(made.requests.length);
    expect(most).toBeLessThanOrEqual(made.concurrency);
    expect(running).toBe(0);
    expect(owner.ends).toMatchObject([{ reason: 'ended', unsent: 0 }]);
  }));

it('loses and doubles no reply without an order either, and keeps the pieces of each in order', () =>
  run(disturbed(6, 2, 2, 0, 0, 1), async (made) => {
    const { seen, most, owner } = await converse({ ...made, ordered: false });
    expect(most).toBeLessThanOrEqual(made.concurrency);
    const came = [...seen.matchAll(/<(\d+):\d>/g)];
    expect(came.map(([piece]) => piece).join('')).toBe(seen);
    made.requests.forEach((_kind, request) => {
      expect(came.filter((match) => Number(match[1]) === request).map(([piece]) => piece)).toEqual(pieces(request));
    });
    expect(owner.ends).toMatchObject([{ reason: 'ended', unsent: 0 }]);
  }));

it('answers the requests in progress completely in a drain, and begins no other', () =>
  run(disturbed(6, 2, 2, 1, 0, 1), async (made) => {
    const { seen, begun, drained, running, owner } = await converse({ ...made, ordered: true });
    expect(seen).toBe(begun.map(whole).join(''));
    expect(running).toBe(0);
    expect(owner.ends.length).toBe(1);
    if (drained === undefined) expect(begun.length).toBe(made.requests.length);
  }));

it('unsubscribes everything after a reset, before which the client has read a prefix of the replies', () =>
  run(disturbed(6, 2, 2, 1, 2, 1), async (made) => {
    const { seen, begun, running, reset, owner } = await converse(made);
    expect(running).toBe(0);
    expect(owner.ends.length).toBe(1);
    if (reset && made.ordered) expect(begun.map(whole).join('').startsWith(seen)).toBe(true);
  }));
