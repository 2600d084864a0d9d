import type { SchedulerLike } from 'rxjs';
import { microtask } from '../time/eventLoop.ts';
import { monotonic } from '../time/monotonic.ts';

/** Who has output that waits for the end of the turn. */
interface Flushable {
  flush(): void;
}

let dirty: Flushable[] = [];

/**
 * Flushes at the end of this turn, in a microtask: one for all connections, so that a broadcast to a thousand costs one.
 * Called once for each that has begun to queue. On virtual time, where a microtask comes when all is over, an action of
 * the clock is quicker.
 *
 * @param clock The connection's clock.
 */
export function flushLater(connection: Flushable, clock: SchedulerLike): void {
  if (clock !== monotonic) clock.schedule(() => connection.flush(), 0);
  // Before it is in the list: it may be that there is no stack left for it, and the next one is to try again.
  if (dirty.length === 0) microtask(flushAll);
  dirty.push(connection);
}

function flushAll(): void {
  const turn = dirty;
  dirty = [];
  for (const connection of turn) connection.flush();
}
