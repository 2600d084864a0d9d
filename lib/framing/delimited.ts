import { constants } from 'node:buffer';
import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../errors.ts';
import { checkArgument, data } from '../options.ts';
import { Carry, copyOf } from './carry.ts';
import { type Decoder, type Input, PENDING } from './decoder.ts';
import { framesOf } from './frames.ts';
import { checkFraming, type FrameOptions, frameChecks } from './options.ts';

const checks = frameChecks(constants.MAX_LENGTH);

/** The options of {@link delimited}. */
export interface DelimitedOptions extends FrameOptions {
  /**
   * The longest frame that is accepted, in bytes, without its delimiter.
   * @default 65536
   */
  readonly maxLength?: number | undefined;
}

/**
 * Decodes frames that each end with a delimiter.
 *
 * ```text
 * source            --(ab\r)----(\ncd)--(\r\n\r\n)--|
 * delimited('\r\n') ------------(ab)----(cd, )------|
 * ```
 *
 * The delimiter is found even if it is split between two chunks. It is not part of the frame. Between two delimiters in a row
 * there is an empty frame. A frame is a Buffer that the subscriber may keep.
 *
 * It completes with its source, and errors
 * - with {@link FrameTooLongError} at the first byte above `maxLength`;
 * - with {@link FrameTruncatedError} when the input ends in the middle of a frame;
 * - with {@link DeadlineError} when a frame takes longer than `timeout` ms from its first byte to its end.
 *
 * @param delimiter One byte or more; a string is encoded as UTF-8.
 * @param options `maxLength` in bytes, `timeout` in milliseconds, `scheduler`.
 * @returns An operator from chunks of bytes, of any size, to frames without their delimiter.
 * @throws TypeError or RangeError for an empty delimiter, and for an option that does not exist or has an invalid value.
 */
export function delimited(
  delimiter: string | Uint8Array,
  options: DelimitedOptions = {},
): OperatorFunction<Uint8Array, Buffer> {
  const given = checkFraming(options, checks);
  const { maxLength = 64 * 1024 } = given;
  const mark = delimiterOf(delimiter);
  return framesOf(() => new DelimitedDecoder(mark, maxLength), given);
}

/**
 * Makes the function that appends the delimiter to a frame, as {@link delimited} decodes it: `map(encodeDelimited('\0'))`.
 *
 * That function throws {@link FrameInvalidError} for a frame in which the peer would find the delimiter too early, and a
 * TypeError for a frame that is neither a string nor bytes.
 *
 * @param delimiter One byte or more; a string is encoded as UTF-8.
 * @returns A function from a frame to its bytes, followed by the delimiter.
 * @throws TypeError or RangeError for a delimiter that is neither a string nor bytes, or is empty.
 */
export function encodeDelimited(delimiter: string | Uint8Array): (frame: string | Uint8Array) => Buffer {
  const mark = delimiterOf(delimiter);
  return (frame) => {
    checkArgument('end a frame', 'frame', frame, data);
    const body = typeof frame === 'string' ? Buffer.from(frame) : frame;
    const bytes = Buffer.concat([body, mark]);
    // Searched in both together: the end of the frame and the start of the delimiter can form a delimiter that begins earlier.
    if (bytes.indexOf(mark) !== body.length) throw new FrameInvalidError('the frame contains the delimiter');
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
  /** The delimiter, for a search: a single byte is found several times faster as a number. */
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
      const frame = this.#decodeAcross(input);
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

  /** Decodes a frame whose delimiter is split between chunks: carries as much of this chunk as shows the end of the delimiter. */
  #decodeAcross(input: Input): Buffer | undefined {
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

  /** There is no delimiter in the chunk. `before` is the number of bytes that were carried before it. */
  #keep(input: Input, before: number): typeof PENDING {
    const { bytes, at } = input;
    const length = before + bytes.length - at;
    // A delimiter that begins within the limit would be complete by now.
    if (length >= this.#maxLength + this.#mark.length) this.#check(length);
    this.#add(bytes, at + this.#carry.length - before, bytes.length);
    if (length > this.#maxLength && !this.#mayEnd(this.#carry.view)) this.#check(length);
    input.at = bytes.length;
    return PENDING;
  }

  /** Whether the bytes past the limit may belong to a delimiter that begins within it. */
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
