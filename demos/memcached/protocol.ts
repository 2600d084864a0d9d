import { type OperatorFunction, takeWhile } from 'rxjs';
import { BLANK, type Decoder, frames, type Input, PENDING } from '../../lib/index.ts';
import { BinaryDecoder, REQUEST_MAGIC } from './binary-decoder.ts';
import { isLast } from './commands.ts';
import type { Limits, Request } from './requests.ts';
import { TextDecoder } from './text-decoder.ts';

/**
 * Decodes requests of the text protocol or of the binary one: the first byte selects which.
 *
 * ```text
 * source    --(set k 0 0 3\r\n)--(abc\r\nget k\r\nqu)--(it\r\n)
 * requests  ---------------------(set k, get k)--------(quit|)
 * ```
 *
 * It completes after a request that nothing may follow, and errors
 * - with `FrameTooLongError` if a line has more than 2048 bytes, or more than `maxLine` if it is a list of keys: the original
 *   closes without a reply, and has no limit for keys;
 * - with `FrameInvalidError` if the first byte of a binary request is wrong;
 * - with `FrameTruncatedError` if the input ends in the middle of a request.
 *
 * A line that is merely wrong is a request too, and its reply is an error. Data that are too large are skipped as they arrive.
 */
export function requests(limits: Partial<Limits> = {}): OperatorFunction<Uint8Array, Request> {
  const checked = check(limits);
  const decode = frames(() => new RequestDecoder(checked));
  return (source) => decode(source).pipe(takeWhile((request) => !isLast(request), true));
}

const GIB = 1024 * 1024 * 1024;

/** @throws TypeError for a limit that does not exist. @throws RangeError for one that is no whole number from 1 to 1 GiB. */
function check({ maxItem = 1024 * 1024, maxLine = 1024 * 1024, ...unknown }: Partial<Limits>): Limits {
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new TypeError(`Cannot read requests: there is no limit ${name}`);
  for (const [limit, value] of Object.entries({ maxItem, maxLine })) {
    if (Number.isInteger(value) && value >= 1 && value <= GIB) continue;
    throw new RangeError(`Cannot read requests: ${limit} must be a whole number from 1 to ${GIB}, not ${value}`);
  }
  return { maxItem, maxLine };
}

/** Selects the protocol by the first byte, and leaves the rest to the decoder of that protocol. */
export class RequestDecoder implements Decoder<Request> {
  readonly #limits: Limits;
  #decoder: Decoder<Request> | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get buffered(): number {
    return this.#decoder?.buffered ?? 0;
  }

  get memory(): number {
    return this.#decoder?.memory ?? this.buffered;
  }

  decode(input: Input): Request | typeof PENDING | typeof BLANK {
    const first = input.bytes[input.at];
    if (this.#decoder === undefined) {
      if (first === undefined) return PENDING;
      this.#decoder = first === REQUEST_MAGIC ? new BinaryDecoder(this.#limits) : new TextDecoder(this.#limits);
    }
    return this.#decoder.decode(input);
  }

  decodeEof(): Request | typeof BLANK {
    return this.#decoder?.decodeEof() ?? BLANK;
  }
}
