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
          done = true;
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
          done = true;
          connection.fail(error);
          sender.stop();
          subscriber.error(error);
        },
      };
      if (connection.attach(sender)) source.subscribe(handler);
      return () => {
        if (!done) connection.abort();
      };
    });
}
