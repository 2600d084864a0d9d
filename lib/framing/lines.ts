import { constants } from 'node:buffer';
import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../errors.ts';
import { describe, oneOf } from '../options.ts';
import { Carry } from './carry.ts';
import { type Decoder, type Input, PENDING } from './decoder.ts';
import { frames } from './frames.ts';
import { checkFraming, type FrameOptions, frameChecks } from './options.ts';

/** How {@link lines} cuts. */
export interface LinesOptions extends FrameOptions {
  /**
   * The longest line that is accepted, in bytes of UTF-8, without its `\n` or `\r\n`.
   * @default 65536
   */
  readonly maxLength?: number | undefined;
  /**
   * What becomes of a last line that the input ends without a `\n`: an error, since half a command must not be executed,
   * or the line.
   * @default 'error'
   */
  readonly unterminated?: 'error' | 'emit' | undefined;
}

const LF = 10;
const CR = 13;

/**
 * Text is decoded this many bytes at a time. The lines are slices of that text, and a slice keeps all of it in memory:
 * one line that somebody keeps must not keep a chunk of 64 KiB.
 */
const WINDOW = 4096;

/**
 * Cuts bytes into lines of UTF-8 text.
 *
 * ```text
 * source   --(he)----(llo\r\nwor)--(ld\n)--|
 * lines()  ----------(hello)-------(world)-|
 * ```
 *
 * A line ends with `\n`; one `\r` before it is cut off too, and any other `\r` is part of the line. What is not valid
 * UTF-8 becomes U+FFFD, as with `TextDecoder`; a byte order mark is kept.
 *
 * ```ts
 * connection.pipe(lines({ maxLength: 1024 }), map((line) => `${line.toUpperCase()}\n`), connection.send());
 * ```
 *
 * It completes with its source, and errors
 * - with {@link FrameTooLongError} at the first byte too many;
 * - with {@link FrameTruncatedError} when the input ends in the middle of a line, unless `unterminated` is `'emit'`;
 * - with {@link DeadlineError} when a line takes longer than `timeout` ms from its first byte to its end.
 *
 * @param options `maxLength` in bytes, `timeout` in milliseconds, `unterminated`, `scheduler`.
 * @returns An operator from chunks of bytes, cut anywhere, to lines without their delimiter.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function lines(options: LinesOptions = {}): OperatorFunction<Uint8Array, string> {
  const { decoder, time } = lineFormat(options);
  return frames(decoder, time);
}

/** Checks the options of a format made of lines, and says how to decode its lines. */
export function lineFormat(options: LinesOptions) {
  const checks = { ...frameChecks(constants.MAX_STRING_LENGTH), unterminated: oneOf('error', 'emit') };
  const { maxLength = 64 * 1024, unterminated = 'error', ...time } = checkFraming(options, checks);
  return { decoder: () => new LineDecoder(maxLength, unterminated === 'emit'), time };
}

/**
 * Ends a text with `\n`, as {@link lines} reads it: `map(encodeLine)`.
 *
 * @param text A line without its end.
 * @returns The line with a `\n`.
 * @throws FrameInvalidError if the text holds a `\n` or ends with a `\r`: the peer would read something else.
 * @throws TypeError if it is no string.
 */
export function encodeLine(text: string): string {
  if (typeof text !== 'string') throw new TypeError(`Cannot frame: a line must be a string, not ${describe(text)}`);
  if (text.indexOf('\n') !== -1) throw new FrameInvalidError('the text of a line holds a \\n');
  if (text.charCodeAt(text.length - 1) === CR) throw new FrameInvalidError('the text of a line ends with a \\r');
  return `${text}\n`;
}

/**
 * Decodes whole lines a window at a time and cuts the text. A line that does not end within the window, and one that
 * began in an earlier chunk, is cut in bytes.
 */
export class LineDecoder implements Decoder<string> {
  readonly #maxLength: number;
  readonly #emitLast: boolean;
  readonly #carry = new Carry();
  /** Whole lines with their delimiters, cut up to `#at`; empty when all are cut. */
  #text = '';
  #at = 0;

  constructor(maxLength: number, emitLast: boolean) {
    this.#maxLength = maxLength;
    this.#emitLast = emitLast;
  }

  get buffered(): number {
    return this.#carry.length;
  }

  /** Text whose lines are not all cut yet is held as a whole, because each line is a slice of it. */
  get memory(): number {
    return this.#carry.length + this.#text.length;
  }

  decode(input: Input): string | typeof PENDING {
    if (this.#text !== '') return this.#cutText();
    if (this.#carry.length > 0) return this.#cutBytes(input);
    const { bytes, at } = input;
    if (at === bytes.length) return PENDING;
    // Lines that end at most maxLength bytes from here are not too long, and need no further look. Most chunks end with a
    // line. Else the search stops at the latest at the end of the line before.
    const most = at + Math.min(WINDOW, this.#maxLength);
    const end = bytes.length - 1;
    const last = end <= most && bytes[end] === LF ? end : bytes.lastIndexOf(LF, most);
    if (last < at) return this.#cutBytes(input);
    input.at = last + 1;
    this.#text = bytes.toString('utf8', at, last + 1);
    return this.#cutText();
  }

  decodeEof(): string {
    const length = this.#carry.length;
    if (!this.#emitLast) throw new FrameTruncatedError(length);
    return this.#carry.takeText(this.#carry.last === CR ? length - 1 : length);
  }

  #cutText(): string {
    const text = this.#text;
    const at = this.#at;
    const end = text.indexOf('\n', at);
    this.#at = end + 1;
    if (end + 1 === text.length) {
      this.#text = '';
      this.#at = 0;
    }
    return text.slice(at, text.charCodeAt(end - 1) === CR ? end - 1 : end);
  }

  #cutBytes(input: Input): string | typeof PENDING {
    const { bytes, at } = input;
    const carry = this.#carry;
    const found = bytes.indexOf(LF, at);
    const end = found < 0 ? bytes.length : found;
    const last = end > at ? bytes[end - 1] : carry.last;
    // A \r at the end does not count: it is, or may come to be, part of the delimiter.
    const length = carry.length + end - at - (last === CR ? 1 : 0);
    if (length > this.#maxLength) throw new FrameTooLongError(this.#maxLength, this.#maxLength + 1);
    if (found < 0) {
      input.at = end;
      if (end > at) carry.add(bytes, at, end, this.#maxLength + 1);
      return PENDING;
    }
    input.at = end + 1;
    if (carry.length === 0) return bytes.toString('utf8', at, at + length);
    carry.add(bytes, at, end, this.#maxLength + 1);
    return carry.takeText(length);
  }
}
