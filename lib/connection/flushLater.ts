import type { SchedulerLike } from 'rxjs';
import { microtask } from '../time/eventLoop.ts';
import { monotonic } from '../time/monotonic.ts';

/** An output that has something to flush. */
interface Flushable {
  flush(): void;
}

let waiting: Flushable[] = [];

/** Node's own. A fake clock that was installed before this module was loaded might never call back. */
const { nextTick } = process;
const later = 'clock' in nextTick ? microtask : nextTick;

/**
 * Flushes an output after the current callback of the event loop, and after all microtasks that follow it. So the replies of
 * async functions to requests that came together leave together. One call serves all outputs, so that a broadcast to a thousand
 * connections costs one. Called once per output that has begun to queue.
 *
 * On virtual time, ticks run only after all actions, so an action of the clock flushes earlier.
 *
 * @param clock The connection's clock.
 */
export function flushLater(output: Flushable, clock: SchedulerLike): void {
  if (clock !== monotonic) clock.schedule(() => output.flush(), 0);
  // Before the output is in the list, because no stack may be left for the call: then the next output tries again.
  if (waiting.length === 0) later(flushAll);
  waiting.push(output);
}

function flushAll(): void {
  const outputs = waiting;
  waiting = [];
  for (const output of outputs) output.flush();
}
