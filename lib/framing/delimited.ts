import { constants } from 'node:buffer';
import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../errors.ts';
import { checkArgument, data } from '../options.ts';
import { Carry, copyOf } from './carry.ts';
import { type Decoder, type Input, PENDING } from './decoder.ts';
import { frames } from './frames.ts';
import { checkFraming, type FrameOptions, frameChecks } from './options.ts';

/** How {@link delimited} cuts. */
export interface DelimitedOptions extends FrameOptions {
  /**
   * The longest frame that is accepted, in bytes, without its delimiter.
   * @default 65536
   */
  readonly maxLength?: number | undefined;
}

/**
 * Cuts bytes into frames at each delimiter.
 *
 * ```text
 * source            --(ab\r)----(\ncd)--(\r\n\r\n)--|
 * delimited('\r\n') ------------(ab)----(cd, )------|
 * ```
 *
 * The delimiter is found wherever the chunks are cut, and is not part of the frame. Two in a row have an empty frame
 * between them. A frame is a Buffer to keep.
 *
 * It completes with its source, and errors
 * - with {@link FrameTooLongError} at the first byte too many;
 * - with {@link FrameTruncatedError} when the input ends in the middle of a frame;
 * - with {@link DeadlineError} when a frame takes longer than `timeout` ms from its first byte to its end.
 *
 * @param delimiter One byte or more; a string stands for its UTF-8.
 * @param options `maxLength` in bytes, `timeout` in milliseconds, `scheduler`.
 * @returns An operator from chunks of bytes, cut anywhere, to frames without their delimiter.
 * @throws TypeError or RangeError for a delimiter that is empty, and for options that do not exist or cannot be.
 */
export function delimited(
  delimiter: string | Uint8Array,
  options: DelimitedOptions = {},
): OperatorFunction<Uint8Array, Buffer> {
  const { maxLength = 64 * 1024, ...time } = checkFraming(options, frameChecks(constants.MAX_LENGTH));
  const mark = delimiterOf(delimiter);
  return frames(() => new DelimitedDecoder(mark, maxLength), time);
}

/**
 * Makes the function that ends a frame with a delimiter, as {@link delimited} reads it: `map(encodeDelimited('\0'))`.
 *
 * It throws {@link FrameInvalidError} for a frame in which the peer would find the delimiter too early, and a TypeError for what
 * is neither a string nor bytes.
 *
 * @param delimiter One byte or more; a string stands for its UTF-8.
 * @returns A function from a frame to its bytes with the delimiter behind them.
 * @throws TypeError or RangeError for a delimiter that is none, or empty.
 */
export function encodeDelimited(delimiter: string | Uint8Array): (frame: string | Uint8Array) => Buffer {
  const mark = delimiterOf(delimiter);
  return (frame) => {
    checkArgument('end a frame', 'frame', frame, data);
    const body = typeof frame === 'string' ? Buffer.from(frame) : frame;
    const bytes = Buffer.concat([body, mark]);
    // Looked for in the whole: the end of the frame and the start of the delimiter may make one that begins earlier.
    if (bytes.indexOf(mark) !== body.length) throw new FrameInvalidError('the frame holds the delimiter');
    return bytes;
  };
}

function delimiterOf(delimiter: string | Uint8Array): Buffer {
  checkArgument('frame', 'delimiter', delimiter, data);
  const mark = Buffer.from(delimiter as Uint8Array);
  if (mark.length === 0) throw new RangeError('Cannot frame: delimiter must be one byte or more');
  return mark;
}

class DelimitedDecoder implements Decoder<Buffer> {
  readonly #mark: Buffer;
  /** What to search for: a single byte is found several times faster as a number. */
  readonly #needle: Buffer | number;
  readonly #maxLength: number;
  readonly #carry = new Carry();

  constructor(mark: Buffer, maxLength: number) {
    this.#mark = mark;
    this.#needle = mark.length === 1 ? mark.readUInt8(0) : mark;
    this.#maxLength = maxLength;
  }

  get buffered(): number {
    return this.#carry.length;
  }

  decode(input: Input): Buffer | typeof PENDING {
    const { bytes, at } = input;
    if (at === bytes.length) return PENDING;
    const before = this.#carry.length;
    if (before > 0 && this.#mark.length > 1) {
      const frame = this.#cutSeam(input);
      if (frame !== undefined) return frame;
    }
    const end = bytes.indexOf(this.#needle, at);
    if (end < 0) return this.#keep(input, before);
    this.#check(before + end - at);
    input.at = end + this.#mark.length;
    if (before === 0) return copyOf(bytes, at, end);
    this.#add(bytes, at + this.#carry.length - before, end);
    return this.#carry.take(before + end - at);
  }

  decodeEof(): Buffer {
    throw new FrameTruncatedError(this.#carry.length);
  }

  /** A delimiter that began in an earlier chunk: as much is carried of this one as it takes to see its end. */
  #cutSeam(input: Input): Buffer | undefined {
    const { bytes, at } = input;
    const carry = this.#carry;
    const before = carry.length;
    const reach = this.#mark.length - 1;
    this.#add(bytes, at, Math.min(bytes.length, at + reach));
    const end = carry.view.indexOf(this.#mark, Math.max(0, before - reach));
    if (end < 0) return undefined;
    this.#check(end);
    input.at = at + end + this.#mark.length - before;
    return carry.take(end);
  }

  /** No delimiter in sight. `before` is what was carried of the frame before this chunk. */
  #keep(input: Input, before: number): typeof PENDING {
    const { bytes, at } = input;
    const length = before + bytes.length - at;
    // A delimiter that begins within the limit would have been seen as a whole by now.
    if (length >= this.#maxLength + this.#mark.length) this.#check(length);
    this.#add(bytes, at + this.#carry.length - before, bytes.length);
    if (length > this.#maxLength && !this.#mayEnd(this.#carry.view)) this.#check(length);
    input.at = bytes.length;
    return PENDING;
  }

  /** Whether what is past the limit may be the start of a delimiter that begins within it. */
  #mayEnd(bytes: Buffer): boolean {
    const length = bytes.length;
    for (let at = Math.max(0, length - this.#mark.length + 1); at <= this.#maxLength; at++) {
      if (this.#mark.compare(bytes, at, length, 0, length - at) === 0) return true;
    }
    return false;
  }

  #add(bytes: Buffer, start: number, end: number): void {
    if (end > start) this.#carry.add(bytes, start, end, this.#maxLength + this.#mark.length - 1);
  }

  #check(length: number): void {
    if (length > this.#maxLength) throw new FrameTooLongError(this.#maxLength, this.#maxLength + 1);
  }
}
