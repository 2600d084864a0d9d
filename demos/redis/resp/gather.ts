import { Observable, type OperatorFunction } from 'rxjs';
import type { ByteString } from './reply.ts';

export interface GatherOptions {
  /** Bytes that are gathered before they are emitted in the same callback. @default 16384 */
  readonly size?: number;
  /** Called before bytes are emitted, for what must be done before the client can see them. */
  readonly before?: () => void;
}

/**
 * Joins the byte strings that are emitted in one callback, and converts them to bytes at once.
 *
 * ```text
 * source      (ab)----c----(de)|
 * gather()    (m )----n----(o )|     m = bytes of ab, n of c, o of de
 * ```
 *
 * Sixteen requests that came in one chunk are answered in one write, with one conversion. When `size` bytes have been gathered
 * they are emitted at once, so that the operators downstream see them and can pause the input.
 *
 * @returns An operator from byte strings to bytes. It emits what was gathered, and then ends as its source does.
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
          // A long text is emitted on its own, because joining it could exceed V8's limit for a string.
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
