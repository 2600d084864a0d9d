/**
 * Measures what it costs to decode a frame: nanoseconds a frame for each format. One chunk is received again and again on a
 * simulated connection and decoded in place; the subscriber only counts the frames. A figure contains the connection's own
 * work for the read, divided by the frames of a chunk. It is the best of five rounds, because everything else that runs on
 * the machine can only add time.
 *
 *   npx tsx demos/bench/framing.ts
 */
import { setImmediate as nextIteration } from 'node:timers/promises';
import { firstValueFrom, type OperatorFunction } from 'rxjs';
import {
  connect,
  delimited,
  encodeJson,
  encodeLengthPrefixed,
  json,
  lengthPrefixed,
  lines,
  type Transport,
} from '../../lib/index.ts';
import { IdleSocket } from './idleSocket.ts';

const ROUNDS = 5;
const CHUNKS = 20_000;

/** A network whose only connection is this one. */
const networkOf = (socket: IdleSocket): Transport => ({
  listen() {
    throw new Error('This network only connects');
  },
  connect(_where, _options, handler) {
    queueMicrotask(() => handler.connected(socket));
    return { cancel() {} };
  },
});

async function measure(
  name: string,
  decode: OperatorFunction<Uint8Array, unknown>,
  frame: string | Uint8Array,
  times: number,
): Promise<void> {
  const socket = new IdleSocket();
  const connection = await firstValueFrom(connect({ port: 1 }, { transport: networkOf(socket) }));
  const chunk = Buffer.concat(Array.from({ length: times }, () => Buffer.from(frame as Uint8Array)));
  let count = 0;
  const reading = connection.pipe(decode).subscribe(() => count++);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round <= ROUNDS; round++) {
    const before = process.hrtime.bigint();
    for (let i = 0; i < CHUNKS; i++) {
      // Paused after a chunk that took too long, such as one with a garbage collection in it. The input resumes by itself.
      while (socket.isPaused) await nextIteration();
      socket.handler.received(chunk);
    }
    const ns = Number(process.hrtime.bigint() - before) / (CHUNKS * times);
    if (round > 0) best = Math.min(best, ns); // The first round is for the compiler.
  }
  while (socket.isPaused) await nextIteration();
  reading.unsubscribe();
  connection.abort();
  if (count !== (ROUNDS + 1) * CHUNKS * times) throw new Error(`${name}: ${count} frames came out`);
  console.log(`${best.toFixed(0).padStart(6)} ns  ${name}, ${times} a chunk`);
}

const text = 'x'.repeat(63);
const value = { id: 1, name: 'abcdefgh', value: 3.14, ok: true };
await measure('lines of 64 bytes', lines(), `${text}\n`, 16);
await measure('lines of 64 bytes', lines(), `${text}\n`, 1);
await measure('lines of 64 bytes, none of them ASCII', lines(), `${'é'.repeat(31)}x\n`, 16);
await measure('delimited(";"), 64 bytes', delimited(';'), `${text};`, 16);
await measure('delimited("\\r\\n"), 65 bytes', delimited('\r\n'), `${text}\r\n`, 16);
await measure('lengthPrefixed, 64 bytes', lengthPrefixed(), encodeLengthPrefixed()(text.slice(3)), 16);
await measure('lengthPrefixed, 260 bytes', lengthPrefixed(), encodeLengthPrefixed()('x'.repeat(256)), 16);
await measure('json, 53 bytes', json(), encodeJson(value), 16);
