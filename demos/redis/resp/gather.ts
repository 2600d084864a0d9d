import { Observable, type OperatorFunction } from 'rxjs';
import type { ByteString } from './reply.ts';

export interface GatherOptions {
  /** Bytes that are gathered at most, before they go on in the middle of a turn. @default 16384 */
  readonly size?: number;
  /** Is called before bytes go on: what must have happened before the client hears of it. */
  readonly before?: () => void;
}

/**
 * Joins the byte strings of one turn of the event loop and makes bytes of them at once.
 *
 * ```text
 * source      (ab)----c----(de)|
 * gather()    (m )----n----(o )|     m = bytes of ab, n of c, o of de
 * ```
 *
 * Sixteen requests that came in one chunk are answered in one write, with one conversion. When much has been gathered
 * it goes on at once, so that the operators below can see it and hold back the input.
 *
 * @returns An operator from byte strings to bytes; it ends as its source does, after what was gathered.
 */
export function gather({ size = 16_384, before }: GatherOptions = {}): OperatorFunction<ByteString, Uint8Array> {
  return (source) =>
    new Observable((subscriber) => {
      let gathered = '';
      const flush = (): void => {
        if (gathered === '') return;
        const bytes = Buffer.from(gathered, 'latin1');
        gathered = '';
        before?.();
        subscriber.next(bytes);
      };
      const subscription = source.subscribe({
        next: (text) => {
          // On its own, as one more character may be too many for a string.
          if (text.length >= size) flush();
          if (gathered === '') process.nextTick(flush);
          gathered += text;
          if (gathered.length >= size) flush();
        },
        error: (error) => {
          flush();
          subscriber.error(error);
        },
        complete: () => {
          flush();
          subscriber.complete();
        },
      });
      return () => {
        gathered = '';
        subscription.unsubscribe();
      };
    });
}
