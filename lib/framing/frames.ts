import { type OperatorFunction, Subscriber } from 'rxjs';
import { Bytes, borrow, controlOf, derive } from '../connection/bytes.ts';
import { callable, checkArgument } from '../options.ts';
import { defaultClock } from '../time/monotonic.ts';
import type { Decoder } from './decoder.ts';
import { FrameLoop } from './frameLoop.ts';
import { checkFraming, type FrameTimeOptions, timeChecks } from './options.ts';

/**
 * Cuts bytes into the frames of a format. All framing operators are this one with a {@link Decoder}.
 *
 * ```text
 * source          --(he)----(llo\nwor)--(ld\n)--|
 * frames(lines)   ----------(hello)-----(world)-|
 * ```
 *
 * Applied to a connection (or to `idle` over one) it decodes in place, in the buffer all connections share; what it
 * hands on is copied. It stops after any frame when the connection's input is held back, goes on from there later, and
 * completes at a frame boundary when the server drains. Behind other operators on the same connection it does so as well,
 * on copies. On every other Observable of bytes it just decodes.
 *
 * It ends when its source does. It errors with what the decoder finds wrong, after the frames before it, and with
 * {@link DeadlineError} when a frame that has begun does not end in time.
 *
 * @param decoder Makes the decoder for one subscription.
 * @param options The frame deadline, in milliseconds, and its clock.
 * @returns An operator from chunks of bytes, cut anywhere, to frames.
 * @throws TypeError or RangeError for options that do not exist or cannot be.
 */
export function frames<T>(decoder: () => Decoder<T>, options: FrameTimeOptions = {}): OperatorFunction<Uint8Array, T> {
  checkArgument('frame input', 'decoder', decoder, callable);
  const given = checkFraming(options, timeChecks);
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
        subscriber.add(() => loop.release());
        return borrow(source, loop);
      }
      // Made before it is subscribed: an endless synchronous source does not return, and stops when this is closed.
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
