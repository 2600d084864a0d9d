import { createHash } from 'node:crypto';
import { connect as dial } from 'node:net';
import {
  bufferCount,
  concatMap,
  delay,
  map,
  mergeMap,
  type Observable,
  type OperatorFunction,
  of,
  pairwise,
  shareReplay,
  tap,
  toArray,
} from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type Connection,
  delimited,
  encodeLengthPrefixed,
  idle,
  inPlace,
  json,
  type ListenEvent,
  lengthPrefixed,
  lines,
  listen,
  nodeTransport,
  type Transport,
} from '../../lib/index.ts';

/** The real network, with a read buffer that is overwritten after each read: a view of it that was kept is now 0xaa. */
const poisoned: Transport = {
  ...nodeTransport,
  listen: (where, options, handler) =>
    nodeTransport.listen(where, options, {
      listening: (address) => handler.listening(address),
      error: (error) => handler.error(error),
      accepted(socket) {
        handler.accepted(socket);
        const { handler: reader } = socket;
        const { received } = reader;
        reader.received = (chunk) => {
          received.call(reader, chunk);
          // A chunk that is not borrowed belongs to the reader.
          if (socket.borrows) chunk.fill(0xaa);
        };
      },
    }),
};

const hash = (value: unknown) => {
  const bytes = value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value));
  return createHash('sha256').update(bytes).digest('hex');
};

const records = Array.from({ length: 400 }, (_, n) =>
  JSON.stringify({ n, text: 'ü'.repeat(n % 90), more: 'x'.repeat(n * 3) }),
);
const asLines = Buffer.from(records.map((record) => `${record}\n`).join(''));
const asFrames = (size: 4 | 'varint') => Buffer.concat(records.map((record) => encodeLengthPrefixed({ size })(record)));

/** Every operator of the library that emits values, with what to send to it. */
const ours: Record<string, readonly [Buffer, (connection: Connection) => Observable<unknown>]> = {
  'the bytes themselves': [asLines, (connection) => connection],
  'lines()': [asLines, (connection) => connection.pipe(lines())],
  'lines() behind idle()': [asLines, (connection) => connection.pipe(idle(10_000), lines())],
  'bytes behind idle()': [asLines, (connection) => connection.pipe(idle(10_000))],
  'delimited()': [asLines, (connection) => connection.pipe(delimited('\n'))],
  'lengthPrefixed()': [asFrames(4), (connection) => connection.pipe(lengthPrefixed())],
  'lengthPrefixed() of varints': [
    asFrames('varint'),
    (connection) => connection.pipe(lengthPrefixed({ size: 'varint' })),
  ],
  'json()': [asLines, (connection) => connection.pipe(json())],
  'inPlace() that copies': [asLines, (connection) => connection.pipe(inPlace((chunk) => Buffer.from(chunk)))],
  'bytes read by for await': [asLines, (connection) => looped(connection)],
  'lines read by for await': [asLines, (connection) => looped(connection.pipe(lines()))],
};

const looped = (values: AsyncIterable<unknown>) =>
  of(values).pipe(
    mergeMap(async function collect(from) {
      const seen: unknown[] = [];
      for await (const value of from) seen.push(value);
      return seen;
    }),
    concatMap((seen) => seen),
  );

/** Operators of RxJS that keep their values for later. */
const keepers: Record<string, OperatorFunction<unknown, unknown>> = {
  'nothing else': map((value) => value),
  'bufferCount()': (source) =>
    source.pipe(
      bufferCount(7),
      concatMap((values) => values),
    ),
  'delay()': delay(5),
  'shareReplay()': (source) => {
    const shared = source.pipe(shareReplay());
    return shared.pipe(
      toArray(),
      concatMap(() => shared),
    );
  },
  'pairwise()': (source) =>
    source.pipe(
      pairwise(),
      concatMap((pair) => pair),
    ),
};

describe.each(['handle', 'net'])('a read buffer that is overwritten after each read (transport: %s)', (transport) => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  for (const [name, [sent, operator]] of Object.entries(ours)) {
    for (const [keeper, keep] of Object.entries(keepers)) {
      it(`does not change the values of ${name} behind ${keeper}`, async () => {
        vi.stubEnv('SLUICE_TRANSPORT', transport);
        const { atOnce, kept } = await receive(sent, operator, keep);
        const expected =
          keeper === 'pairwise()' ? atOnce.flatMap((each, at) => (at === 0 ? [] : [atOnce[at - 1], each])) : atOnce;
        expect(kept.length).toBeGreaterThan(0);
        expect(kept.map(hash)).toEqual(expected);
      });
    }
  }
});

/** Sends bytes to a server. Resolves with the hash of each value when it was emitted, and with the values that were kept. */
function receive(
  sent: Buffer,
  operator: (connection: Connection) => Observable<unknown>,
  keep: OperatorFunction<unknown, unknown>,
): Promise<{ atOnce: string[]; kept: unknown[] }> {
  const atOnce: string[] = [];
  return new Promise((resolve, reject) => {
    const events = {
      next(event: ListenEvent) {
        if (event.type === 'listening')
          dial(event.address.port ?? 0, '127.0.0.1')
            .resume()
            .end(sent);
      },
    };
    const server = listen({ port: 0, host: '127.0.0.1' }, { transport: poisoned, events }).subscribe((connection) => {
      server.unsubscribe();
      const values = operator(connection).pipe(tap((value) => atOnce.push(hash(value))));
      values.pipe(keep, toArray()).subscribe({ next: (kept) => resolve({ atOnce, kept }), error: reject });
    });
  });
}
