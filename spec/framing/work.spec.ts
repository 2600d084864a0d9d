import { from, type OperatorFunction } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { delimited } from '../../lib/framing/delimited.ts';
import { json } from '../../lib/framing/json.ts';
import { encodeLengthPrefixed } from '../../lib/framing/lengthPrefix.ts';
import { lengthPrefixed } from '../../lib/framing/lengthPrefixed.ts';
import { lines } from '../../lib/framing/lines.ts';
import { Borrowed } from '../support/borrowed.ts';
import { chop } from '../support/bytes.ts';

/** Bytes that any code has searched, copied or decoded. */
let work = 0;

beforeEach(() => {
  const { indexOf, copy, toString: decode } = Buffer.prototype;
  const { slice } = Uint8Array.prototype;
  vi.spyOn(Buffer.prototype, 'indexOf').mockImplementation(function (this: Buffer, value, offset, encoding) {
    const found = indexOf.call(this, value, offset, encoding);
    work += (found < 0 ? this.length : found) - Number(offset ?? 0);
    return found;
  });
  vi.spyOn(Buffer.prototype, 'copy').mockImplementation(function (this: Buffer, target, at, start, end) {
    const copied = copy.call(this, target, at, start, end);
    work += copied;
    return copied;
  });
  vi.spyOn(Buffer.prototype, 'toString').mockImplementation(function (this: Buffer, ...args: unknown[]) {
    const [encoding, start = 0, end = this.length] = args as [BufferEncoding?, number?, number?];
    work += end - start;
    return decode.call(this, encoding, start, end);
  });
  vi.spyOn(Uint8Array.prototype, 'slice').mockImplementation(function (this: Uint8Array<ArrayBuffer>, start, end) {
    const copied = slice.call(this, start, end);
    work += copied.length;
    return copied as Uint8Array<ArrayBuffer>;
  });
  work = 0;
});

afterEach(() => {
  vi.restoreAllMocks();
});

const KIB = 1024;
const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const long = 'a'.repeat(60 * KIB);

const skip = { maxLength: 8, tooLong: 'skip' } as const;

const cases: [string, OperatorFunction<Uint8Array, unknown>, Buffer, Buffer][] = [
  ['lines', lines(), ascii(`${long}\n`), ascii('a\n')],
  ['json', json(), ascii(`"${long}"\n`), ascii('1\n')],
  ['delimited by one byte', delimited(';'), ascii(`${long};`), ascii('a;')],
  ['delimited by more', delimited('ab'), ascii(`${long}ab`), ascii('ab')],
  ['lines that are skipped', lines(skip), ascii(`${long}\n`), ascii('a\n')],
  ['delimited by one byte, skipped', delimited(';', skip), ascii(`${long};`), ascii('a;')],
  ['delimited by more, skipped', delimited('ab', skip), ascii(`${long}ab`), ascii('ab')],
  ['lengthPrefixed', lengthPrefixed(), encodeLengthPrefixed()(long), encodeLengthPrefixed()('a')],
];

describe.each(cases)('the work of %s is proportional to the bytes', (_, decode, big, small) => {
  it.each([1, 7, 1500])('for a long frame in chunks of %i bytes', (length) => {
    const chunks = chop(big, [length]);
    let count = 0;
    work = 0;
    from(chunks)
      .pipe(decode)
      .subscribe(() => count++);
    expect(count).toBe(1);
    expect(work).toBeGreaterThan(big.length / 2);
    expect(work).toBeLessThan(10 * big.length);
  });

  it.each([false, true])('for many tiny frames in one chunk, each pausing the input: %s', (pausing) => {
    const all = Buffer.concat(Array.from({ length: 10_000 }, () => small));
    const peer = new Borrowed();
    let count = 0;
    peer.pipe(decode).subscribe(() => {
      count++;
      peer.control.isPaused ||= pausing;
    });
    work = 0;
    peer.push(all);
    peer.openAll();
    expect(count).toBe(10_000);
    expect(work).toBeGreaterThan(0);
    expect(work).toBeLessThan(10 * all.length);
  });
});
