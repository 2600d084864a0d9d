import type { OperatorFunction } from 'rxjs';
import { FrameInvalidError } from '../errors.ts';
import { BLANK, type Decoder, type Input, type PENDING } from './decoder.ts';
import { framesOf } from './frames.ts';
import { type LineDecoder, type LinesOptions, lineFormat } from './lines.ts';
import type { NoSkip } from './options.ts';
import type { SkippedFrame } from './skippedFrame.ts';

/** The options of {@link json}. */
export interface JsonOptions extends LinesOptions {}

/**
 * Decodes one JSON value from each line (newline-delimited JSON).
 *
 * ```text
 * source   --({"a":)----(1}\n\n[2]\n)----|
 * json()   -------------({ a: 1 }, [2])--|
 * ```
 *
 * Blank lines are skipped. The type parameter is an assumption about the peer, not a check: validate what you rely on.
 *
 * It ends as {@link lines} does. For a line that is not JSON it errors with {@link FrameInvalidError}, whose `cause` is the
 * `SyntaxError`.
 *
 * @example
 * ```ts
 * of(Buffer.from('{ "a":'), Buffer.from(' 1 }\n\n[2]\n')).pipe(json()).subscribe(console.log);
 * // → { a: 1 }
 * // → [ 2 ]
 * ```
 *
 * @param options As for {@link lines}: `maxLength` in bytes, `tooLong`, `timeout` in milliseconds, `unterminated`, `scheduler`.
 * @returns An operator from chunks of bytes, of any size, to values.
 * @throws TypeError or RangeError for an option that does not exist or has an invalid value.
 */
export function json<T = unknown>(options?: JsonOptions & NoSkip): OperatorFunction<Uint8Array, T>;
/**
 * The same with `tooLong: 'skip'`: a {@link SkippedFrame} takes the place of a line that is longer than `maxLength`.
 */
export function json<T = unknown>(options?: JsonOptions): OperatorFunction<Uint8Array, T | SkippedFrame>;
export function json<T = unknown>(options: JsonOptions = {}): OperatorFunction<Uint8Array, T | SkippedFrame> {
  const { decoder, given } = lineFormat(options);
  return framesOf(() => new JsonDecoder<T>(decoder()), given);
}

/**
 * Encodes a value as one line of JSON with its `\n`, as {@link json} decodes it: `map(encodeJson)`.
 *
 * @example
 * ```ts
 * const sum = (numbers: number[]) => encodeJson({ sum: numbers.reduce((a, b) => a + b, 0) });
 *
 * serve({ port: 7000 }, exchange(json<number[]>(), sum)).subscribe();
 * ```
 *
 * @param value Anything that `JSON.stringify` has a text for.
 * @returns The text, and a `\n`.
 * @throws FrameInvalidError for a value that has no JSON form: `undefined`, a function, a symbol, a bigint, a circular structure.
 */
export function encodeJson(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new FrameInvalidError('the value has no JSON form', { cause });
  }
  if (text === undefined) throw new FrameInvalidError('the value has no JSON form');
  return `${text}\n`;
}

class JsonDecoder<T> implements Decoder<T | SkippedFrame> {
  readonly #lines: LineDecoder<SkippedFrame>;

  constructor(lines: LineDecoder<SkippedFrame>) {
    this.#lines = lines;
  }

  get buffered(): number {
    return this.#lines.buffered;
  }

  get memory(): number {
    return this.#lines.memory;
  }

  decode(input: Input): T | SkippedFrame | typeof PENDING | typeof BLANK {
    const line = this.#lines.decode(input);
    return typeof line === 'string' ? parse(line) : line;
  }

  decodeEof(): T | SkippedFrame | typeof BLANK {
    const line = this.#lines.decodeEof();
    return typeof line === 'string' ? parse(line) : line;
  }
}

function parse<T>(line: string): T | typeof BLANK {
  if (line.trim() === '') return BLANK;
  try {
    return JSON.parse(line) as T;
  } catch (cause) {
    throw new FrameInvalidError('the line is not JSON', { cause });
  }
}
