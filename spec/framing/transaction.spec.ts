import fc from 'fast-check';
import { delay, ignoreElements, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { FrameTruncatedError } from '../../lib/errors.ts';
import { BLANK, type Decoder, type Input, PENDING } from '../../lib/framing/decoder.ts';
import { frames } from '../../lib/framing/frames.ts';
import { LineDecoder } from '../../lib/framing/lines.ts';
import { type Connection, exchange } from '../../lib/index.ts';
import { Borrowed } from '../support/borrowed.ts';
import { chop, chunkings, watch } from '../support/bytes.ts';
import { clockOf } from '../support/internals.ts';
import { TestServer } from '../support/testServer.ts';

/** Commands; after DATA, the lines of a message up to a line that is a single dot. Lines that begin with # are comments. */
class Mail implements Decoder<string> {
  readonly #lines = new LineDecoder(1000, false);
  /** Bytes of the message whose dot has not arrived. */
  #message = 0;

  get buffered(): number {
    return this.#message + this.#lines.buffered;
  }

  decode(input: Input): string | typeof PENDING | typeof BLANK {
    const line = this.#lines.decode(input);
    if (line === PENDING) return PENDING;
    if (line === '.') this.#message = 0;
    else if (line === 'DATA' || this.#message > 0) this.#message += line.length + 1;
    return line.startsWith('#') ? BLANK : line;
  }

  decodeEof(): never {
    throw new FrameTruncatedError(this.buffered);
  }
}

const mail = () => frames(() => new Mail());
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const isFrame = (line: string) => !line.startsWith('#');

const text = fc.constantFrom('', 'a', 'bc', '#', '# no frame');
const transaction = fc.oneof(
  fc.constantFrom(['NOOP'], ['HELO'], ['#'], ['# a comment']),
  fc.array(text, { maxLength: 4 }).map((message) => ['DATA', ...message, '.']),
);

/** The number of lines up to the first end of a transaction at or after byte `from`. */
function boundary(transactions: readonly (readonly string[])[], from: number): number {
  let at = 0;
  let count = 0;
  for (const lines of transactions) {
    if (at >= from) break;
    for (const line of lines) at += line.length + 1;
    count += lines.length;
  }
  return count;
}

describe('a drain in the middle of a request of several frames', () => {
  it('completes at the end of the request that had begun, wherever the bytes are split', () => {
    fc.assert(
      fc.property(fc.array(transaction), fc.nat(), chunkings, (transactions, at, cuts) => {
        const lines = transactions.flat();
        const all = bytes(lines.map((line) => `${line}\n`).join(''));
        const begin = at % (all.length + 1);
        const peer = new Borrowed();
        const seen = watch(peer.pipe(mail()));
        for (const chunk of chop(all.subarray(0, begin), cuts)) peer.push(chunk);
        peer.drain();
        for (const chunk of chop(all.subarray(begin), cuts)) peer.push(chunk);
        const values = lines.slice(0, boundary(transactions, begin)).filter(isFrame);
        expect(seen).toEqual({ values, completed: true });
        expect(peer.released).toBe(true);
        expect(peer.control.closedAs).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('completes at the end of a request, with all of its frames, wherever the input pauses meanwhile', () => {
    const closings = fc.infiniteStream(fc.boolean());
    fc.assert(
      fc.property(fc.array(transaction), fc.nat(20), chunkings, closings, (transactions, when, cuts, closing) => {
        const lines = transactions.flat();
        const chunks = chop(bytes(lines.map((line) => `${line}\n`).join('')), cuts);
        const peer = new Borrowed();
        const values: string[] = [];
        let completed = false;
        peer.pipe(mail()).subscribe({
          next: (line) => {
            values.push(line);
            peer.control.isPaused = closing.next().value === true;
            if (values.length === when) peer.drain();
          },
          complete: () => {
            completed = true;
          },
        });
        chunks.forEach((chunk, i) => {
          if (i === when) peer.drain();
          peer.push(chunk);
          if (closing.next().value === true) peer.open();
        });
        peer.openAll();
        peer.drain();
        peer.openAll();
        expect(completed).toBe(true);
        const ends = transactions.map((_, i) =>
          transactions
            .slice(0, i + 1)
            .flat()
            .filter(isFrame),
        );
        expect([[], ...ends]).toContainEqual(values);
        expect(peer.control.closedAs).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('drops a complete request that was held back and not begun', () => {
    const peer = new Borrowed();
    const seen: string[] = [];
    peer.pipe(mail()).subscribe((line) => {
      seen.push(line);
      peer.control.isPaused = true;
    });
    peer.push(bytes('HELO\nDATA\na\n.\n'));
    peer.drain();
    peer.openAll();
    expect(seen).toEqual(['HELO']);
    expect(peer.released).toBe(true);
  });

  it('waits for a frame that has begun after a blank one, whether or not both were held back', () => {
    for (const pauses of [true, false]) {
      const peer = new Borrowed();
      const values: string[] = [];
      peer.pipe(mail()).subscribe((line) => {
        values.push(line);
        peer.control.isPaused = pauses;
      });
      peer.push(bytes('HELO\n# blank\nNO'));
      peer.drain();
      peer.push(bytes('OP\nQUIT\n'));
      peer.openAll();
      expect(values).toEqual(['HELO', 'NOOP']);
      expect(peer.released).toBe(true);
    }
  });

  it('still errors when the input ends before the request does', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(mail()));
    peer.push(bytes('DATA\na\n'));
    peer.drain();
    peer.end();
    expect(seen).toMatchObject({ values: ['DATA', 'a'], error: new FrameTruncatedError(7) });
  });
});

describe('a server that drains in the middle of a message', () => {
  const handlers: [string, (connection: Connection) => ReturnType<ReturnType<typeof exchange>>][] = [
    ['answered at once', exchange(mail(), (line) => `${line}!`)],
    ['answered later', exchange(mail(), (line, connection) => of(`${line}!`).pipe(delay(5, clockOf(connection))))],
  ];

  it.each(handlers)('reads the message to its end and answers it, %s', async (_, handler) => {
    const server = await TestServer.open(handler);
    const client = await server.connect();
    client.write('HELO\n');
    await server.clock.advance(10);
    client.write('DATA\none\n');
    await server.clock.settle();
    await server.signal();
    await server.clock.advance(100);
    expect(client.text).toBe('HELO!DATA!one!');
    expect(client.ended).toBe(false);
    client.write('two\n');
    await server.clock.advance(100);
    client.write('.\nQUIT\n');
    await server.clock.advance(100);
    expect(client.text).toBe('HELO!DATA!one!two!.!');
    expect(client.ended).toBe(true);
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['drained']);
    expect(server.log.report).toMatchObject({ drained: 1, aborted: 0 });
  });

  it('does not wait for it longer than the grace', async () => {
    const server = await TestServer.open(
      exchange(mail(), () => undefined),
      { grace: 3000 },
    );
    const client = await server.connect();
    client.write('DATA\n');
    await server.clock.settle();
    await server.signal();
    await server.clock.advance(2999);
    expect(client.reset).toBe(false);
    await server.clock.advance(1);
    expect(client.reset).toBe(true);
    expect(server.log.report).toMatchObject({ drained: 0, aborted: 1 });
  });

  it('does not extend the frame deadline of a message for the blank frames in it', async () => {
    const server = await TestServer.open((connection) => connection.pipe(mail(), ignoreElements()), { frame: 1000 });
    const client = await server.connect();
    client.write('DATA\n');
    await server.clock.settle();
    for (let i = 0; i < 4; i++) {
      await server.clock.advance(240);
      client.write('#\n');
      await server.clock.settle();
      expect(client.ended).toBe(false);
    }
    await server.clock.advance(60);
    expect(client.ended).toBe(true);
  });
});
