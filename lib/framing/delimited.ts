import { constants } from 'node:buffer';
import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../errors.ts';
import { checkArgument, data } from '../options.ts';
import { Carry, copyOf } from './carry.ts';
import { type Decoder, type Input, PENDING } from './decoder.ts';
import { framesOf } from './frames.ts';
import { checkFraming, type FrameOptions, frameChecks, type NoSkip } from './options.ts';
import { SkippedFrame } from './skippedFrame.ts';

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
 * - with {@link FrameTooLongError} at the first byte above `maxLength`, unless `tooLong` is `'skip'`: then a
 *   {@link SkippedFrame} takes the place of the frame;
 * - with {@link FrameTruncatedError} when the input ends in the middle of a frame;
 * - with {@link DeadlineError} when a frame takes longer than `timeout` ms from its first byte to its end.
 *
 * @example
 * ```ts
 * of(Buffer.from('hello\0wor'), Buffer.from('ld\0')).pipe(delimited('\0'), map(String)).subscribe(console.log);
 * // → hello
 * // → world
 * ```
 *
 * @param delimiter One byte or more; a string is encoded as UTF-8.
 * @param options `maxLength` in bytes, `tooLong`, `timeout` in milliseconds, `scheduler`.
 * @returns An operator from chunks of bytes, of any size, to frames without their delimiter.
 * @throws TypeError or RangeError for an empty delimiter, and for an option that does not exist or has an invalid value.
 */
export function delimited(
  delimiter: string | Uint8Array,
  options?: DelimitedOptions & NoSkip,
): OperatorFunction<Uint8Array, Buffer>;
/**
 * The same with `tooLong: 'skip'`: a {@link SkippedFrame} takes the place of a frame that is longer than `maxLength`.
 */
export function delimited(
  delimiter: string | Uint8Array,
  options?: DelimitedOptions,
): OperatorFunction<Uint8Array, Buffer | SkippedFrame>;
export function delimited(
  delimiter: string | Uint8Array,
  options: DelimitedOptions = {},
): OperatorFunction<Uint8Array, Buffer | SkippedFrame> {
  const given = checkFraming(options, checks);
  const { maxLength = 64 * 1024, tooLong = 'fail' } = given;
  const mark = delimiterOf(delimiter);
  return framesOf(() => new DelimitedDecoder(mark, maxLength, tooLong === 'skip'), given);
}

/**
 * Makes the function that appends the delimiter to a frame, as {@link delimited} decodes it: `map(encodeDelimited('\0'))`.
 *
 * That function throws {@link FrameInvalidError} for a frame in which the peer would find the delimiter too early, and a
 * TypeError for a frame that is neither a string nor bytes.
 *
 * @example
 * ```ts
 * const encode = encodeDelimited(';');
 *
 * serve({ port: 7000 }, (client) => client.pipe(delimited('\n'), map(encode))).subscribe();
 * ```
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

/** Of a frame that is skipped only as many bytes are carried as may begin the delimiter. */
class DelimitedDecoder implements Decoder<Buffer | SkippedFrame> {
  readonly #mark: Buffer;
  /** The delimiter, for a search: a single byte is found several times faster as a number. */
  readonly #needle: Buffer | number;
  readonly #maxLength: number;
  readonly #skips: boolean;
  readonly #carry = new Carry();
  /** Bytes of the frame that were discarded before those that are carried. */
  #skipped = 0;

  constructor(mark: Buffer, maxLength: number, skips: boolean) {
    this.#mark = mark;
    this.#needle = mark.length === 1 ? mark.readUInt8(0) : mark;
    this.#maxLength = maxLength;
    this.#skips = skips;
  }

  get buffered(): number {
    return this.#skipped + this.#carry.length;
  }

  get memory(): number {
    return this.#carry.length;
  }

  decode(input: Input): Buffer | SkippedFrame | typeof PENDING {
    const { bytes, at } = input;
    if (at === bytes.length) return PENDING;
    const before = this.buffered;
    if (before > 0 && this.#mark.length > 1) {
      const frame = this.#decodeAcross(input);
      if (frame !== undefined) return frame;
    }
    const end = bytes.indexOf(this.#needle, at);
    if (end < 0) return this.#keep(input, before);
    input.at = end + this.#mark.length;
    const length = before + end - at;
    if (length > this.#maxLength) return this.#skipWhole(length);
    if (before === 0) return copyOf(bytes, at, end);
    this.#add(bytes, at + this.#carry.length - before, end);
    return this.#carry.take(length);
  }

  decodeEof(): Buffer {
    throw new FrameTruncatedError(this.buffered);
  }

  /** Decodes a frame whose delimiter is split between chunks: carries as much of this chunk as shows the end of the delimiter. */
  #decodeAcross(input: Input): Buffer | SkippedFrame | undefined {
    const { bytes, at } = input;
    const carry = this.#carry;
    const before = carry.length;
    const reach = this.#mark.length - 1;
    this.#add(bytes, at, Math.min(bytes.length, at + reach));
    const end = carry.view.indexOf(this.#mark, Math.max(0, before - reach));
    if (end < 0) return undefined;
    input.at = at + end + this.#mark.length - before;
    const length = this.#skipped + end;
    return length > this.#maxLength ? this.#skipWhole(length) : carry.take(end);
  }

  /** There is no delimiter in the chunk. `before` is the number of bytes of the frame that had arrived before it. */
  #keep(input: Input, before: number): typeof PENDING {
    const { bytes, at } = input;
    const length = before + bytes.length - at;
    // A delimiter that begins within the limit would be complete by now.
    if (this.#skipped > 0 || length >= this.#maxLength + this.#mark.length) return this.#skipPart(input, length);
    this.#add(bytes, at + this.#carry.length - before, bytes.length);
    if (length > this.#maxLength && !this.#mayEnd(this.#carry.view)) return this.#skipPart(input, length);
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

  /** The frame is too long, and has ended. */
  #skipWhole(length: number): SkippedFrame {
    this.#checkSkips();
    this.#skipped = 0;
    this.#carry.clear();
    return new SkippedFrame(length, this.#maxLength);
  }

  /**
   * The frame is too long, and does not end in the chunk, with which `length` bytes of it have arrived. If the chunk has fewer of
   * them than may begin a delimiter, these are carried by now, behind those that came before.
   */
  #skipPart(input: Input, length: number): typeof PENDING {
    this.#checkSkips();
    const { bytes, at } = input;
    const reach = Math.min(length, this.#mark.length - 1);
    const tail = bytes.length - at < reach ? this.#carry.view : bytes;
    input.at = bytes.length;
    this.#carry.clear();
    this.#add(tail, tail.length - reach, tail.length);
    this.#skipped = length - reach;
    return PENDING;
  }

  #checkSkips(): void {
    if (!this.#skips) throw new FrameTooLongError(this.#maxLength, this.#maxLength + 1);
  }
}
