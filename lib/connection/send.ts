import { Observable, type OperatorFunction, Subscriber } from 'rxjs';
import type { Connection } from './connection.ts';
import type { Data } from './writes.ts';

/** What a connection asks of the one who sends on it. */
export interface Sender {
  /** The connection ends: he stops in this very tick, and runs no more. */
  stop(): void;
  /** All that he wrote has left, or the connection is gone. */
  flushed(): void;
  /** His work threw where only the connection could catch it. */
  fail(error: unknown): void;
}

/** The operator behind `connection.send()`; see there. */
export function send(connection: Connection): OperatorFunction<Data | undefined, never> {
  return (source) =>
    new Observable<never>((subscriber) => {
      let done = false;
      const handler = new Subscriber<Data | undefined>({
        next: (data) => connection.push(data),
        error: (error: unknown) => sender.fail(error),
        complete: () => {
          // First of all the handler lets go of its input, as any source is let go of by who is done: it is not to hear
          // an end of it that has not come.
          sender.stop();
          connection.end();
        },
      });
      const sender: Sender = {
        stop() {
          done = true;
          // A teardown of the handler may throw, and nobody else would be there to catch it.
          try {
            handler.unsubscribe();
          } catch (error) {
            subscriber.error(error);
          }
        },
        flushed: () => subscriber.complete(),
        fail(error) {
          connection.blame(error);
          sender.stop();
          connection.end();
          subscriber.error(error);
        },
      };
      if (!connection.attach(sender)) return;
      // Before the source is subscribed: one that emits at once may make somebody downstream unsubscribe.
      subscriber.add(() => {
        if (!done) connection.abort();
      });
      source.subscribe(handler);
    });
}
