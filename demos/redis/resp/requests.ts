import type { OperatorFunction } from 'rxjs';
import { type FrameTimeOptions, frames } from '../../../lib/index.ts';
import { type Request, RequestDecoder, type RequestLimits } from './request.ts';

/**
 * Decodes Redis requests: arrays of bulk strings, and lines that a person typed.
 *
 * ```text
 * source       --(*1\r\n$4\r\nPI)---(NG\r\nGET a\r\n)--|
 * requests()   ---------------------(pg)---------------|      p is ['PING'], g is ['GET', 'a']
 * ```
 *
 * It completes with its source, and errors
 * - with {@link ProtocolError} if the bytes are no requests, or if a request exceeds the limits;
 * - with {@link FrameTruncatedError} if the input ends within a request;
 * - with {@link DeadlineError} if a request takes too long from its first byte to its last.
 *
 * @param limits How large a request may be, in bytes and arguments.
 * @param time `timeout` of a request in milliseconds, `scheduler`.
 * @returns An operator from bytes to requests: the arguments as byte strings, the command's name first.
 */
export function requests(
  limits: RequestLimits = {},
  time: FrameTimeOptions = {},
): OperatorFunction<Uint8Array, Request> {
  return frames(() => new RequestDecoder(limits), time);
}
