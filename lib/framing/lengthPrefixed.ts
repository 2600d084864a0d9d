import { constants } from 'node:buffer';
import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../errors.ts';
import { Carry } from './carry.ts';
import { Cutter } from './cutter.ts';
import { type Decoder, type Input, PENDING } from './decoder.ts';
import { frames } from './frames.ts';
import { type Header, headerOf, type LengthPrefix, prefixChecks } from './lengthPrefix.ts';
import { checkFraming, type FrameOptions, frameChecks } from './options.ts';

/** How {@link lengthPrefixed} cuts. */
export interface LengthPrefixedOptions extends FrameOptions, LengthPrefix {
  /**
   * The longest frame that is accepted, in bytes, without its header.
   * @default 1048576
   */
  readonly maxLength?: number | undefined;
}

/**
 * Cuts bytes into frames that each say their length first.
 *
 * ```text
 * source                       --(0 3 a b)----(c 0 1 d)--|
 * lengthPrefixed({ size: 2 })  ---------------(abc, d)---|
 * ```
 *
 * A frame is a Buffer to keep, without the header. Memory is taken as bytes arrive, not as they are
 * announced: a peer that announces a mebibyte and sends nothing costs nothing.
 *
 * It completes with its source, and errors
 * - with {@link FrameTooLongError} at a header that announces too much, whose `length` is the number that was sent;
 * - with {@link FrameInvalidError} at a header that counts itself and says less than its own size, and at a varint of
 *   more than 64 bits;
 * - with {@link FrameTruncatedError} when the input ends in the middle of a frame;
 * - with {@link DeadlineError} when a frame takes longer than `timeout` ms from its first byte to its end.
 *
 * @param options `size` of the header in bytes, `endian`, `includesHeader`, `maxLength` in bytes, `timeout` in
 * milliseconds, `scheduler`.
 * @returns An operator from chunks of bytes, cut anywhere, to frames without their header.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function lengthPrefixed(options: LengthPrefixedOptions = {}): OperatorFunction<Uint8Array, Buffer> {
  const given = checkFraming(options, { ...frameChecks(constants.MAX_LENGTH), ...prefixChecks });
  const { maxLength = 1024 * 1024, size, endian, includesHeader: _, ...time } = given;
  const { header, includesHeader } = headerOf(given);
  return frames(() => new LengthPrefixedDecoder(header, includesHeader, maxLength), time);
}

class LengthPrefixedDecoder implements Decoder<Buffer> {
  readonly #header: Header;
  readonly #includesHeader: boolean;
  readonly #maxLength: number;
  /** The frame's body, once its header is read; until then the header. */
  readonly #carry = new Carry();
  readonly #cutter = new Cutter();
  /** The size of the header that was read, or 0 before. */
  #headerSize = 0;
  /** The length of the body, once the header is read. */
  #length = 0;

  constructor(header: Header, includesHeader: boolean, maxLength: number) {
    this.#header = header;
    this.#includesHeader = includesHeader;
    this.#maxLength = maxLength;
  }

  get buffered(): number {
    return this.#headerSize + this.#carry.length;
  }

  decode(input: Input): Buffer | typeof PENDING {
    if (this.#headerSize > 0) return this.#cutBody(input);
    if (this.#carry.length > 0) return this.#cutSplitHeader(input);
    const { bytes, at } = input;
    const size = this.#header.measure(bytes, at, bytes.length);
    if (size === 0) {
      input.at = bytes.length;
      if (at < bytes.length) this.#carry.add(bytes, at, bytes.length, bytes.length - at);
      return this.#nothing();
    }
    this.#begin(bytes, at, size);
    input.at = at + size;
    return this.#cutBody(input);
  }

  decodeEof(): Buffer {
    throw new FrameTruncatedError(this.buffered);
  }

  /** A header that was cut between two chunks: byte by byte, as nobody knows how long a varint is. */
  #cutSplitHeader(input: Input): Buffer | typeof PENDING {
    const carry = this.#carry;
    for (const { bytes } = input; input.at < bytes.length; ) {
      carry.add(bytes, input.at, input.at + 1, carry.length + 1);
      input.at++;
      const size = this.#header.measure(carry.view, 0, carry.length);
      if (size > 0) {
        this.#begin(carry.take(size), 0, size);
        return this.#cutBody(input);
      }
    }
    return this.#nothing();
  }

  #begin(bytes: Buffer, at: number, size: number): void {
    const announced = this.#header.read(bytes, at, size);
    const counted = this.#includesHeader ? size : 0;
    if (announced < counted) {
      throw new FrameInvalidError(`a length of ${announced} bytes that counts its header of ${size} bytes`);
    }
    if (typeof announced === 'bigint' || announced - counted > this.#maxLength) {
      throw new FrameTooLongError(this.#maxLength, announced);
    }
    this.#headerSize = size;
    this.#length = announced - counted;
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
    if (carry.length < this.#length) return this.#nothing();
    this.#headerSize = 0;
    return carry.take(this.#length);
  }

  /** All of the chunk is taken. */
  #nothing(): typeof PENDING {
    this.#cutter.forget();
    return PENDING;
  }
}
