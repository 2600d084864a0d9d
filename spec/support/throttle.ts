import type { MonoTypeOperatorFunction, Subscription } from 'rxjs';
import { operateBytes } from '../../lib/index.ts';

/** Reads at most so many bytes a second on average: a chunk pauses the input for as long as it should have taken. */
export const throttle = (bytesPerSecond: number): MonoTypeOperatorFunction<Uint8Array> =>
  operateBytes((sink, control) => {
    const { clock } = control;
    let free = clock.now();
    let timer: Subscription | undefined;
    return {
      next(chunk) {
        const now = clock.now();
        free = Math.max(free, now) + (chunk.length * 1000) / bytesPerSecond;
        if (free - now < 1) return sink.next(chunk); // Less than a timer can measure: the next chunk's pause includes it.
        timer = clock.schedule(() => control.resume(), free - now);
        sink.next(chunk);
        control.pause();
      },
      finalize: () => timer?.unsubscribe(),
    };
  });
