import type { Observable } from 'rxjs';
import type { Connection } from '../../lib/connection/connection.ts';
import type { Data } from '../../lib/connection/writeQueue.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { Clock } from './clock.ts';
import { type Pair, type PairOptions, pair } from './peers.ts';

export interface Talk extends Pair {
  readonly clock: Clock;
  readonly connection: Connection;
  readonly client: MemoryClient;
  /** The error with which the handler failed. */
  fault: unknown;
  completed: boolean;
}

/** One connection in memory that a handler serves, on a virtual clock that resolves promises in between. */
export async function talk(
  handler: (connection: Connection) => Observable<Data | undefined>,
  options: PairOptions = {},
): Promise<Talk> {
  const clock = new Clock();
  const talk = { clock, fault: undefined, completed: false } as unknown as Talk & { connection: Connection };
  const made = pair(clock, options, ({ connection }) => {
    talk.connection = connection;
    handler(connection)
      .pipe(connection.send())
      .subscribe({
        error: (error: unknown) => {
          talk.fault = error;
        },
        complete: () => {
          talk.completed = true;
        },
      });
  });
  Object.assign(talk, made);
  await clock.settle();
  return talk;
}
