import { type OperatorFunction, Subscriber } from 'rxjs';
import { Bytes, borrow, controlOf, derive } from '../connection/bytes.ts';
import { callable, checkArgument, type Given } from '../options.ts';
import { defaultClock } from '../time/monotonic.ts';
import type { Decoder } from './decoder.ts';
import { FrameLoop } from './frameLoop.ts';
import { checkFraming, type FrameTimeOptions, timeChecks } from './options.ts';

/**
 * Decodes the frames of a format. Every framing operator is this one with a {@link Decoder}.
 *
 * ```text
 * source          --(he)----(llo\nwor)--(ld\n)--|
 * frames(lines)   ----------(hello)-----(world)-|
 * ```
 *
 * On a connection, or behind an operator such as `idle` on a connection, it decodes in place, in the buffer that all
 * connections share. The frames that it emits are copies. When the input is paused, it stops after any frame, and continues
 * from there later. When the server drains, it completes at a frame boundary. Behind other operators on a connection it does
 * the same, on copies. On any other Observable of bytes it only decodes.
 *
 * It ends when its source does. It errors with the error that the decoder throws, after the frames before it, and with
 * {@link DeadlineError} when a frame that has begun does not end in time.
 *
 * @example Records of four bytes each.
 * ```ts
 * class Records implements Decoder<number> {
 *   readonly #carry = new Carry();
 *
 *   get buffered(): number {
 *     return this.#carry.length;
 *   }
 *
 *   decode(input: Input): number | typeof PENDING {
 *     const start = input.at;
 *     input.at = Math.min(input.bytes.length, start + 4 - this.#carry.length);
 *     this.#carry.add(input.bytes, start, input.at, 4);
 *     return this.#carry.length < 4 ? PENDING : this.#carry.take(4).readInt32BE();
 *   }
 *
 *   decodeEof(): never {
 *     throw new FrameTruncatedError(this.buffered);
 *   }
 * }
 *
 * of(Buffer.of(0, 0), Buffer.of(0, 7, 0, 0, 0, 8)).pipe(frames(() => new Records())).subscribe(console.log);
 * // → 7
 * // → 8
 * ```
 *
 * @param decoder Makes the decoder for one subscription.
 * @param options The frame deadline, in milliseconds, and its clock.
 * @returns An operator from chunks of bytes, of any size, to frames.
 * @throws TypeError or RangeError for an option that does not exist or has an invalid value.
 */
export function frames<T>(decoder: () => Decoder<T>, options: FrameTimeOptions = {}): OperatorFunction<Uint8Array, T> {
  checkArgument('frame input', 'decoder', decoder, callable);
  return framesOf(decoder, checkFraming(options, timeChecks));
}

/** As {@link frames}, for arguments that have been validated. */
export function framesOf<T>(
  decoder: () => Decoder<T>,
  given: Given<FrameTimeOptions>,
): OperatorFunction<Uint8Array, T> {
  return (source) =>
    derive(source, (subscriber) => {
      const control = controlOf(source);
      const {
        timeout = control?.frameTimeout ?? Number.POSITIVE_INFINITY,
        scheduler = control?.clock ?? defaultClock(),
      } = given;
      const isInPlace = source instanceof Bytes;
      const loop = new FrameLoop(subscriber, decoder(), control, timeout, scheduler, !isInPlace);
      if (isInPlace) {
        // Itself, because a closure would keep all that is in scope here for as long as the connection lasts.
        subscriber.add(loop);
        return borrow(source, loop);
      }
      // Made before the source is subscribed: an endless synchronous source does not return, and stops when this is closed.
      const upstream = new Subscriber<Uint8Array>(loop);
      const leave = control?.follow(loop);
      subscriber.add(() => {
        loop.release();
        try {
          upstream.unsubscribe();
        } finally {
          leave?.();
        }
      });
      return source.subscribe(upstream);
    });
}
