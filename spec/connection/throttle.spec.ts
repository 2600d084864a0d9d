import fc from 'fast-check';
import { catchError, delay, map, type OperatorFunction, of, pipe, share, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import {
  type Connection,
  encodeLengthPrefixed,
  exchange,
  idle,
  inPlace,
  lengthPrefixed,
  lines,
} from '../../lib/index.ts';
import { examples } from '../framing/formats.ts';
import { chop, chunkings } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';
import { pair, run } from '../support/peers.ts';
import { TestServer } from '../support/testServer.ts';
import { throttle } from '../support/throttle.ts';

type Front = OperatorFunction<Uint8Array, Uint8Array>;

/** A plain operator of RxJS. (`tap()` without an argument is no operator: it returns its source.) */
const plain: Front = tap(() => {});

/** In front of a framing operator; the rate is 1000 bytes a second, a byte a millisecond. */
const fronts: [string, Front][] = [
  ['alone', throttle(1000)],
  ['behind a plain operator', pipe(plain, throttle(1000))],
  ['in front of a plain operator', pipe(throttle(1000), plain)],
  ['behind idle', pipe(idle(60_000), throttle(1000))],
];

const echo = (front: Front) => (connection: Connection) =>
  connection.pipe(
    front,
    lines(),
    map((line) => `${line}\n`),
  );

describe.each(fronts)('throttle, %s', (_, front) => {
  it('reads no faster than its rate, and pauses the socket, so that the peer’s writes stall', () => {
    const seen: string[] = [];
    const { made } = run({}, ({ connection, client, at }) => {
      for (const ms of [50, 150, 250, 350, 450]) at(ms, () => seen.push(`${ms} ${connection.bytesIn} read`));
      connection.pipe(front, lines()).subscribe((line) => seen.push(line.slice(0, 1)));
      for (const letter of 'abcd') at(1, () => client.write(`${letter.repeat(99)}\n`));
      at(1000, () => client.end());
    });
    // A paused connection reads one chunk ahead: see Input.
    expect(seen).toEqual([
      'a',
      '50 200 read',
      'b',
      '150 200 read',
      'c',
      '250 400 read',
      'd',
      '350 400 read',
      '450 400 read',
    ]);
    expect(made.flow.filter((call) => call === 'pause').length).toBe(2);
  });

  it('completes at the frame boundary in a drain', async () => {
    const server = await TestServer.open(echo(front));
    const client = await server.connect();
    client.write('first\nha');
    await server.clock.settle();
    await server.signal();
    client.write('lf\nnever\n');
    await server.clock.settle();
    expect([client.text, client.ended]).toEqual(['first\n', false]);
    await server.clock.advance(8);
    expect([client.text, client.ended]).toEqual(['first\nhalf\n', true]);
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['drained']);
  });

  it('completes at once in a drain when no frame has begun, though it pauses the input', async () => {
    const server = await TestServer.open(echo(front));
    const client = await server.connect();
    client.write('a\n');
    await server.clock.settle();
    client.write('b\n');
    await server.signal();
    expect([client.text, client.ended]).toEqual(['a\n', true]);
  });

  it('keeps the close reason of a framing operator behind it', async () => {
    const server = await TestServer.open((connection) =>
      connection.pipe(
        front,
        lines({ maxLength: 3 }),
        catchError(() => of('too long')),
      ),
    );
    const client = await server.connect();
    client.write('a').write('234567').end();
    await server.clock.advance(1000);
    expect([client.text, server.log.closes]).toEqual(['too long', ['frame-too-long']]);
  });

  it('does not let its pauses count for the frame deadline, which runs otherwise', async () => {
    const server = await TestServer.open(echo(front), { frame: 50, idle: 10_000 });
    const [paused, silent] = await server.connectAll(2);
    paused?.write('x'.repeat(400));
    silent?.write('x');
    await server.clock.advance(1);
    paused?.write('\n');
    await server.clock.advance(48);
    expect(silent?.ended).toBe(false);
    await server.clock.advance(3);
    expect([silent?.ended, paused?.ended]).toEqual([true, false]);
    await server.clock.advance(400);
    expect(paused?.text).toBe(`${'x'.repeat(400)}\n`);
    silent?.end();
    await server.clock.settle();
    expect(server.log.of('closed')).toMatchObject([{ reason: 'deadline', deadline: 'frame' }]);
  });

  it('does not count its pauses as idle time of the peer', async () => {
    const server = await TestServer.open(echo(front), { idle: 100 });
    const client = await server.connect();
    client.write(`${'x'.repeat(499)}\n`);
    await server.clock.advance(599);
    expect(client.ended).toBe(false);
    await server.clock.advance(1);
    expect(client.ended).toBe(true);
  });

  it('is counted as time that the handler paused the input', async () => {
    const server = await TestServer.open(echo(front));
    const client = await server.connect();
    client.write(`${'x'.repeat(499)}\n`).end();
    await server.clock.advance(1000);
    expect(server.log.of('closed')).toMatchObject([{ reason: 'ended', paused: { peer: 0, handler: 500, budget: 0 } }]);
  });

  it('and an exchange that pauses the same input do not resume each other', async () => {
    const begun: string[] = [];
    const server = await TestServer.open((connection) =>
      exchange(
        () => connection.pipe(front, lines()),
        (line) => {
          begun.push(`${server.clock.now()} ${line.slice(0, 1)}`);
          return of(`${line}\n`).pipe(delay(30, server.clock));
        },
      )(connection),
    );
    const client = await server.connect();
    // For each line the throttle pauses for 10 ms and the exchange for 30 ms. The input resumes after the longer pause.
    for (const line of ['a', 'b', 'c']) client.write(`${line.repeat(9)}\n`);
    await server.clock.advance(1000);
    expect(begun).toEqual(['0 a', '30 b', '60 c']);
    expect(client.text).toBe('aaaaaaaaa\nbbbbbbbbb\nccccccccc\n');
  });

  it('still lets unsent output pause the input, and loses nothing', async () => {
    const server = await TestServer.open(
      echo(
        pipe(
          front,
          map((chunk) => chunk),
        ),
      ),
      { highWaterMark: 10 },
    );
    const client = await server.connect({ window: 1 });
    client.pause();
    for (let i = 0; i < 50; i++) client.write(`${i}\n`);
    await server.clock.advance(1000);
    expect(client.text.length).toBeLessThan(50);
    client.resume().end();
    await server.clock.advance(1000);
    expect(client.text).toBe(Array.from({ length: 50 }, (_, i) => `${i}\n`).join(''));
    expect(server.log.closes).toEqual(['ended']);
  });
});

describe('two throttles on one input', () => {
  it('keep the rate of the slower one, in either order', () => {
    for (const front of [pipe(throttle(1000), throttle(100)), pipe(throttle(100), throttle(1000))]) {
      const seen: string[] = [];
      run({}, ({ connection, client, at }) => {
        const start = connection.clock.now();
        const record = (line: string) => seen.push(`${connection.clock.now() - start} ${line.slice(0, 1)}`);
        connection.pipe(front, lines()).subscribe(record);
        for (const letter of 'abc') at(0, () => client.write(`${letter.repeat(9)}\n`));
      });
      expect(seen).toEqual(['0 a', '100 b', '200 c']);
    }
  });
});

describe('bytes through throttle, for any format', () => {
  const rates = fc.constantFrom(100, 1000, 50_000, 10_000_000);
  const copies: Front = inPlace((chunk) => Buffer.from(chunk));
  const placed = fc.constantFrom<(rate: number, decode: OperatorFunction<Uint8Array, unknown>) => [Front, boolean]>(
    (rate) => [throttle(rate), false],
    (rate) => [pipe(throttle(rate), throttle(2 * rate)), false],
    (rate) => [pipe(plain, throttle(rate)), false],
    (rate) => [pipe(throttle(rate), share()), false],
    (rate) => [pipe(copies, throttle(rate)), false],
    (rate) => [pipe(throttle(rate), copies, throttle(rate)), false],
    // A framing operator in front of it: its frames are the bytes that are throttled.
    (rate) => [pipe(lengthPrefixed(), throttle(rate)), true],
    (rate) => [pipe(throttle(rate), lengthPrefixed(), throttle(rate)), true],
  );
  const wrap = encodeLengthPrefixed();

  it('are neither lost nor doubled nor reordered, wherever the input is cut', () => {
    fc.assert(
      fc.property(examples, chunkings, rates, placed, ({ decode, sent, frames }, cuts, rate, place) => {
        const [front, isWrapped] = place(rate, decode);
        const chunks = chop(Buffer.concat(sent), cuts);
        const all = isWrapped ? chop(Buffer.concat(chunks.map(wrap)), [...cuts].reverse()) : chunks;
        const values: unknown[] = [];
        let completed = false;
        const test = marbles(({ clock, flush }) => {
          const read = (connection: SocketConnection) =>
            connection.pipe(front, decode).subscribe({
              next: (value) => values.push(value),
              complete: () => {
                completed = true;
              },
            });
          const { client } = pair(clock, {}, ({ connection }) => void read(connection));
          for (const [i, chunk] of all.entries()) clock.schedule(() => client.write(chunk), Math.floor(i / 3));
          clock.schedule(() => client.end(), all.length);
          flush();
        });
        test();
        expect({ values, completed }).toEqual({ values: frames, completed: true });
      }),
      { numRuns: 100 },
    );
  });
});
