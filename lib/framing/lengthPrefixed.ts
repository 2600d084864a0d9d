import { constants } from 'node:buffer';
import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../errors.ts';
import { Carry } from './carry.ts';
import { Cutter } from './cutter.ts';
import { type Decoder, type Input, PENDING } from './decoder.ts';
import { framesOf } from './frames.ts';
import { type Header, headerOf, type LengthPrefix, prefixChecks } from './lengthPrefix.ts';
import { checkFraming, type FrameOptions, frameChecks, type NoSkip } from './options.ts';
import { SkippedFrame } from './skippedFrame.ts';

const checks = { ...frameChecks(constants.MAX_LENGTH), ...prefixChecks };

/** The options of {@link lengthPrefixed}. */
export interface LengthPrefixedOptions extends FrameOptions, LengthPrefix {
  /**
   * The longest frame that is accepted, in bytes, without its header.
   * @default 1048576
   */
  readonly maxLength?: number | undefined;
}

/**
 * Decodes frames that each begin with their length.
 *
 * ```text
 * source                       --(0 3 a b)----(c 0 1 d)--|
 * lengthPrefixed({ size: 2 })  ---------------(abc, d)---|
 * ```
 *
 * A frame is a Buffer that the subscriber may keep, without the header. Memory is allocated as bytes arrive, not as they are
 * announced: a peer that announces 1 MiB and sends nothing costs nothing.
 *
 * It completes with its source, and errors
 * - with {@link FrameTooLongError} at a header that announces more than `maxLength`; its `length` is the number that was sent.
 *   If `tooLong` is `'skip'`, a {@link SkippedFrame} takes the place of the frame, unless a header announces more than
 *   `Number.MAX_SAFE_INTEGER` bytes: no connection lasts until the end of such a frame;
 * - with {@link FrameInvalidError} at a header that is included in the length and announces less than its own size, and at a
 *   varint of more than 64 bits;
 * - with {@link FrameTruncatedError} when the input ends in the middle of a frame;
 * - with {@link DeadlineError} when a frame takes longer than `timeout` ms from its first byte to its end.
 *
 * @example
 * ```ts
 * of(Buffer.of(0, 2, 104), Buffer.of(105, 0, 1, 33)).pipe(lengthPrefixed({ size: 2 }), map(String)).subscribe(console.log);
 * // → hi
 * // → !
 * ```
 *
 * @param options `size` of the header in bytes, `endian`, `includesHeader`, `maxLength` in bytes, `tooLong`,
 * `timeout` in milliseconds, `scheduler`.
 * @returns An operator from chunks of bytes, of any size, to frames without their header.
 * @throws TypeError or RangeError for an option that does not exist or has an invalid value.
 */
export function lengthPrefixed(options?: LengthPrefixedOptions & NoSkip): OperatorFunction<Uint8Array, Buffer>;
/**
 * The same with `tooLong: 'skip'`: a {@link SkippedFrame} takes the place of a frame that is longer than `maxLength`.
 */
export function lengthPrefixed(options?: LengthPrefixedOptions): OperatorFunction<Uint8Array, Buffer | SkippedFrame>;
export function lengthPrefixed(
  options: LengthPrefixedOptions = {},
): OperatorFunction<Uint8Array, Buffer | SkippedFrame> {
  const given = checkFraming(options, checks);
  const { maxLength = 1024 * 1024, tooLong = 'fail' } = given;
  const { header, includesHeader } = headerOf(given);
  return framesOf(() => new LengthPrefixedDecoder(header, includesHeader, maxLength, tooLong === 'skip'), given);
}

class LengthPrefixedDecoder implements Decoder<Buffer | SkippedFrame> {
  readonly #header: Header;
  readonly #includesHeader: boolean;
  readonly #maxLength: number;
  readonly #skips: boolean;
  /** Bytes of the header; once that is read, bytes of the body. */
  readonly #carry = new Carry();
  readonly #cutter = new Cutter();
  /** The size of the header that has been read; 0 before. */
  #headerSize = 0;
  /** The length of the body, once the header has been read. */
  #length = 0;
  /** How many bytes of a body that is skipped have not arrived; 0 if none is. */
  #unskipped = 0;

  constructor(header: Header, includesHeader: boolean, maxLength: number, skips: boolean) {
    this.#header = header;
    this.#includesHeader = includesHeader;
    this.#maxLength = maxLength;
    this.#skips = skips;
  }

  get buffered(): number {
    return this.memory + (this.#unskipped > 0 ? this.#length - this.#unskipped : 0);
  }

  get memory(): number {
    return this.#headerSize + this.#carry.length;
  }

  decode(input: Input): Buffer | SkippedFrame | typeof PENDING {
    if (this.#headerSize > 0) return this.#unskipped > 0 ? this.#skipBody(input) : this.#cutBody(input);
    if (this.#carry.length > 0) return this.#cutSplitHeader(input);
    const { bytes, at } = input;
    const size = this.#header.measure(bytes, at, bytes.length);
    if (size === 0) {
      input.at = bytes.length;
      if (at < bytes.length) this.#carry.add(bytes, at, bytes.length, bytes.length - at);
      return this.#pending();
    }
    input.at = at + size;
    return this.#begin(input, bytes, at, size);
  }

  decodeEof(): Buffer {
    throw new FrameTruncatedError(this.buffered);
  }

  /** Reads a header that is split between chunks: byte by byte, because the size of a varint is known only at its end. */
  #cutSplitHeader(input: Input): Buffer | SkippedFrame | typeof PENDING {
    const carry = this.#carry;
    for (const { bytes } = input; input.at < bytes.length; ) {
      carry.add(bytes, input.at, input.at + 1, carry.length + 1);
      input.at++;
      const size = this.#header.measure(carry.view, 0, carry.length);
      if (size > 0) return this.#begin(input, carry.take(size), 0, size);
    }
    return this.#pending();
  }

  /** `input` is behind the header, which is in `bytes`. */
  #begin(input: Input, bytes: Buffer, at: number, size: number): Buffer | SkippedFrame | typeof PENDING {
    const announced = this.#header.read(bytes, at, size);
    const counted = this.#includesHeader ? size : 0;
    if (announced < counted) {
      throw new FrameInvalidError(`a length of ${announced} bytes that includes its header of ${size} bytes`);
    }
    if (typeof announced === 'bigint' || announced - counted > this.#maxLength) {
      if (typeof announced === 'bigint' || !this.#skips) throw new FrameTooLongError(this.#maxLength, announced);
      this.#headerSize = size;
      this.#length = this.#unskipped = announced - counted;
      return this.#skipBody(input);
    }
    this.#headerSize = size;
    this.#length = announced - counted;
    return this.#cutBody(input);
  }

  #skipBody(input: Input): SkippedFrame | typeof PENDING {
    const length = Math.min(input.bytes.length - input.at, this.#unskipped);
    input.at += length;
    this.#unskipped -= length;
    if (this.#unskipped > 0) return this.#pending();
    this.#headerSize = 0;
    return new SkippedFrame(this.#length, this.#maxLength);
  }

  #cutBody(input: Input): Buffer | typeof PENDING {
    const { bytes, at } = input;
    const carry = this.#carry;
    const end = Math.min(bytes.length, at + this.#length - carry.length);
    input.at = end;
    if (end - at === this.#length) {
      this.#headerSize = 0;
      return this.#cutter.cut(bytes, at, end);
    }
    if (end > at) carry.add(bytes, at, end, this.#length);
    if (carry.length < this.#length) return this.#pending();
    this.#headerSize = 0;
    return carry.take(this.#length);
  }

  /** The whole chunk is consumed. */
  #pending(): typeof PENDING {
    this.#cutter.forget();
    return PENDING;
  }
}
