import { constants } from 'node:buffer';
import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../errors.ts';
import { describe, oneOf } from '../options.ts';
import { Carry } from './carry.ts';
import { type Decoder, type Input, PENDING } from './decoder.ts';
import { framesOf } from './frames.ts';
import { checkFraming, type FrameOptions, frameChecks, type NoSkip } from './options.ts';
import { SkippedFrame } from './skippedFrame.ts';

/** The options of {@link lines}. */
export interface LinesOptions extends FrameOptions {
  /**
   * The longest line that is accepted, in bytes of UTF-8, without its `\n` or `\r\n`.
   * @default 65536
   */
  readonly maxLength?: number | undefined;
  /**
   * What to do with a last line that has no `\n` when the input ends: error, because half a command must not be executed, or emit
   * it.
   * @default 'error'
   */
  readonly unterminated?: 'error' | 'emit' | undefined;
}

const LF = 10;
const CR = 13;

/**
 * Text is decoded this many bytes at a time. The lines are slices of that text, and a slice keeps all of it in memory. A line
 * that is kept must not keep a chunk of 64 KiB.
 */
const WINDOW = 4096;

/**
 * Decodes lines of UTF-8 text.
 *
 * ```text
 * source   --(he)----(llo\r\nwor)--(ld\n)--|
 * lines()  ----------(hello)-------(world)-|
 * ```
 *
 * A line ends with `\n`. One `\r` before it is removed too; any other `\r` is part of the line. Invalid UTF-8 becomes U+FFFD,
 * as with `TextDecoder`. A byte order mark is kept.
 *
 * It completes with its source, and errors
 * - with {@link FrameTooLongError} at the first byte above `maxLength`, unless `tooLong` is `'skip'`: then a
 *   {@link SkippedFrame} takes the place of the line;
 * - with {@link FrameTruncatedError} when the input ends in the middle of a line, unless `unterminated` is `'emit'`;
 * - with {@link DeadlineError} when a line takes longer than `timeout` ms from its first byte to its end.
 *
 * @example
 * ```ts
 * of(Buffer.from('hello\r\nwor'), Buffer.from('ld\n')).pipe(lines()).subscribe(console.log);
 * // → hello
 * // → world
 * ```
 *
 * @example On a connection.
 * ```ts
 * const shout = (client: Connection) =>
 *   client.pipe(lines({ maxLength: 1024 }), map((line) => `${line.toUpperCase()}\n`));
 *
 * serve({ port: 7000 }, shout).subscribe();
 * ```
 *
 * @param options `maxLength` in bytes, `tooLong`, `timeout` in milliseconds, `unterminated`, `scheduler`.
 * @returns An operator from chunks of bytes, of any size, to lines without their delimiter.
 * @throws TypeError or RangeError for an option that does not exist or has an invalid value.
 */
export function lines(options?: LinesOptions & NoSkip): OperatorFunction<Uint8Array, string>;
/**
 * The same with `tooLong: 'skip'`: a {@link SkippedFrame} takes the place of a line that is longer than `maxLength`.
 */
export function lines(options?: LinesOptions): OperatorFunction<Uint8Array, string | SkippedFrame>;
export function lines(options: LinesOptions = {}): OperatorFunction<Uint8Array, string | SkippedFrame> {
  const { decoder, given } = lineFormat(options);
  return framesOf(decoder, given);
}

/** Made once, because a handler calls `lines` for each connection. */
const lineChecks = { ...frameChecks(constants.MAX_STRING_LENGTH), unterminated: oneOf('error', 'emit') };

/** Validates the options of a format made of lines, and returns what decodes its lines. */
export function lineFormat(options: LinesOptions) {
  const given = checkFraming(options, lineChecks);
  const { maxLength = 64 * 1024, tooLong = 'fail', unterminated = 'error' } = given;
  const decoder = () => new LineDecoder<SkippedFrame>(maxLength, unterminated === 'emit', tooLong === 'skip');
  return { decoder, given };
}

/**
 * Appends `\n` to a text, as {@link lines} decodes it: `map(encodeLine)`.
 *
 * @example
 * ```ts
 * serve({ port: 7000 }, (client) => client.pipe(lines(), map(encodeLine))).subscribe();
 * ```
 *
 * @param text A line without its end.
 * @returns The line with a `\n`.
 * @throws FrameInvalidError if the text contains a `\n` or ends with a `\r`: the peer would read something else.
 * @throws TypeError if it is not a string.
 */
export function encodeLine(text: string): string {
  if (typeof text !== 'string') throw new TypeError(`Cannot frame: a line must be a string, not ${describe(text)}`);
  if (text.indexOf('\n') !== -1) throw new FrameInvalidError('the text of a line contains a \\n');
  if (text.charCodeAt(text.length - 1) === CR) throw new FrameInvalidError('the text of a line ends with a \\r');
  return `${text}\n`;
}

/** What a decoder holds before the first line that arrives in parts; most peers send none. */
const NOTHING = new Carry();

/**
 * Decodes whole lines, a window at a time, and cuts the text into lines. A line that does not end within the window, or that
 * began in an earlier chunk, is cut in bytes and then decoded.
 *
 * Of a line that is skipped only the last byte is carried: it may be the `\r` of its end. `Skipped` is `never` if none is.
 */
export class LineDecoder<Skipped extends SkippedFrame = never> implements Decoder<string | Skipped> {
  readonly #maxLength: number;
  readonly #emitLast: boolean;
  readonly #skips: boolean;
  #carry = NOTHING;
  /** Bytes of the line that were discarded before those that are carried. */
  #skipped = 0;
  /** Whole lines with their delimiters, emitted up to `#at`; empty when all are emitted. */
  #text = '';
  #at = 0;

  constructor(maxLength: number, emitLast: boolean, skips = false) {
    this.#maxLength = maxLength;
    this.#emitLast = emitLast;
    this.#skips = skips;
  }

  get buffered(): number {
    return this.#skipped + this.#carry.length;
  }

  /** The text counts as a whole until its last line is emitted, because each line is a slice of it. */
  get memory(): number {
    return this.#carry.length + this.#text.length;
  }

  decode(input: Input): string | Skipped | typeof PENDING {
    if (this.#text !== '') return this.#cutText();
    if (this.#carry.length > 0) return this.#cutBytes(input);
    const { bytes, at } = input;
    if (at === bytes.length) return PENDING;
    // Lines that end at most maxLength bytes from here are not too long, and are not checked one by one. Most chunks end with
    // the end of a line. Otherwise the backward search stops at the latest at the end of the line before.
    const most = at + Math.min(WINDOW, this.#maxLength);
    const end = bytes.length - 1;
    const last = end <= most && bytes[end] === LF ? end : bytes.lastIndexOf(LF, most);
    if (last < at) return this.#cutBytes(input);
    input.at = last + 1;
    this.#text = bytes.toString('utf8', at, last + 1);
    return this.#cutText();
  }

  decodeEof(): string | Skipped {
    const received = this.buffered;
    if (!this.#emitLast) throw new FrameTruncatedError(received);
    const length = this.#carry.last === CR ? received - 1 : received;
    return length > this.#maxLength ? this.#endSkipped(length) : this.#carry.takeText(length);
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

  #cutBytes(input: Input): string | Skipped | typeof PENDING {
    const { bytes, at } = input;
    const carry = this.#carry;
    const found = bytes.indexOf(LF, at);
    const end = found < 0 ? bytes.length : found;
    const last = end > at ? bytes[end - 1] : carry.last;
    // A \r at the end does not count: it is part of the delimiter, or may turn out to be.
    const length = this.#skipped + carry.length + end - at - (last === CR ? 1 : 0);
    // A line that is too long stays so, whatever follows. So no flag is needed while it is skipped.
    if (length > this.#maxLength) return this.#exceed(input, end, found < 0 ? undefined : length);
    if (found < 0) {
      input.at = end;
      if (end > at) this.#own().add(bytes, at, end, this.#maxLength + 1);
      return PENDING;
    }
    input.at = end + 1;
    if (carry.length === 0) return bytes.toString('utf8', at, at + length);
    carry.add(bytes, at, end, this.#maxLength + 1);
    return carry.takeText(length);
  }

  /** The line is too long. Its bytes up to `end` are skipped, if they may be; its `length` is known if it ends there. */
  #exceed(input: Input, end: number, length: number | undefined): Skipped | typeof PENDING {
    if (!this.#skips) throw new FrameTooLongError(this.#maxLength, this.#maxLength + 1);
    const { bytes, at } = input;
    if (length !== undefined) {
      input.at = end + 1;
      return this.#endSkipped(length);
    }
    input.at = end;
    if (end === at) return PENDING;
    this.#skipped += this.#carry.length + end - at - 1;
    this.#carry.clear();
    this.#own().add(bytes, end - 1, end, 1);
    return PENDING;
  }

  #endSkipped(length: number): Skipped {
    this.#skipped = 0;
    this.#carry.clear();
    return new SkippedFrame(length, this.#maxLength) as Skipped;
  }

  #own(): Carry {
    if (this.#carry === NOTHING) this.#carry = new Carry();
    return this.#carry;
  }
}
