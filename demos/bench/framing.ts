/**
 * What cutting frames costs: nanoseconds a frame for each format, read in place from one chunk again and again, with
 * a subscriber that only counts. The best of five rounds, as everything else that runs on the machine only adds.
 *
 *   npx tsx demos/bench/framing.ts
 */
import { type OperatorFunction, Subscription } from 'rxjs';
import { Bytes } from '../../lib/connection/bytes.ts';
import type { ByteSink, SourceControl } from '../../lib/connection/source.ts';
import { delimited } from '../../lib/framing/delimited.ts';
import { encodeJson, json } from '../../lib/framing/json.ts';
import { encodeLengthPrefixed } from '../../lib/framing/lengthPrefix.ts';
import { lengthPrefixed } from '../../lib/framing/lengthPrefixed.ts';
import { lines } from '../../lib/framing/lines.ts';
import { monotonic } from '../../lib/time/monotonic.ts';

const ROUNDS = 5;
const CHUNKS = 20_000;

/** A connection that never holds its input back. */
class Open extends Bytes {
  readonly control: SourceControl = {
    isPaused: false,
    over: false,
    borrowed: true,
    clock: monotonic,
    frameTimeout: 10_000,
    pace: { in: 240, out: 240, grace: 10_000 },
    lastActivity: 0,
    silentSince: 0,
    stop: () => false,
    busy: false,
    whenRested() {},
    detained: false,
    detainedFor: 0,
    reportBuffered() {},
    follow: () => () => {},
    pause() {},
    resume() {},
    retain: () => () => {},
    yield() {},
    closeAs() {},
  };
  sink: ByteSink | undefined;

  borrow(sink: ByteSink): Subscription {
    this.sink = sink;
    return new Subscription();
  }
}

function measure(
  name: string,
  decode: OperatorFunction<Uint8Array, unknown>,
  frame: string | Uint8Array,
  times: number,
) {
  const peer = new Open();
  const chunk = Buffer.concat(Array.from({ length: times }, () => Buffer.from(frame as Uint8Array)));
  let count = 0;
  peer.pipe(decode).subscribe(() => count++);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round <= ROUNDS; round++) {
    const before = process.hrtime.bigint();
    for (let i = 0; i < CHUNKS; i++) peer.sink?.next(chunk);
    const ns = Number(process.hrtime.bigint() - before) / (CHUNKS * times);
    if (round > 0) best = Math.min(best, ns); // The first round is for the compiler.
  }
  if (count !== (ROUNDS + 1) * CHUNKS * times) throw new Error(`${name}: ${count} frames came out`);
  console.log(`${best.toFixed(0).padStart(6)} ns  ${name}, ${times} a chunk`);
}

const text = 'x'.repeat(63);
const value = { id: 1, name: 'abcdefgh', value: 3.14, ok: true };
measure('lines of 64 bytes', lines(), `${text}\n`, 16);
measure('lines of 64 bytes', lines(), `${text}\n`, 1);
measure('lines of 64 bytes, none of them ASCII', lines(), `${'é'.repeat(31)}x\n`, 16);
measure('delimited(";"), 64 bytes', delimited(';'), `${text};`, 16);
measure('delimited("\\r\\n"), 65 bytes', delimited('\r\n'), `${text}\r\n`, 16);
measure('lengthPrefixed, 64 bytes', lengthPrefixed(), encodeLengthPrefixed()(text.slice(3)), 16);
measure('lengthPrefixed, 260 bytes', lengthPrefixed(), encodeLengthPrefixed()('x'.repeat(256)), 16);
measure('json, 53 bytes', json(), encodeJson(value), 16);
