import type { SchedulerLike } from 'rxjs';
import { microtask } from '../time/eventLoop.ts';
import { monotonic } from '../time/monotonic.ts';

/** An output that has something to flush. */
interface Flushable {
  flush(): void;
}

/** Outputs that are flushed together. One call serves all of them, so that a broadcast to a thousand connections costs one. */
class Flush {
  #outputs: Flushable[] = [];
  readonly #schedule: (work: () => void) => void;

  constructor(schedule: (work: () => void) => void) {
    this.#schedule = schedule;
  }

  add(output: Flushable): void {
    if (this.#outputs.at(-1) === output) return;
    // Before the output is in the list, because no stack may be left for the call: then the next output tries again.
    if (this.#outputs.length === 0) this.#schedule(this.#all);
    this.#outputs.push(output);
  }

  readonly #all = (): void => {
    const outputs = this.#outputs;
    this.#outputs = [];
    let flushed = 0;
    try {
      while (flushed < outputs.length) outputs[flushed++]?.flush();
    } finally {
      // A flush has thrown. That of the other outputs must not depend on it, so they are flushed by another call.
      if (flushed < outputs.length) for (const output of outputs.slice(flushed)) this.add(output);
    }
  };
}

/** Node's own. A fake clock that was installed before this module was loaded might never call back. */
const { nextTick } = process;

/** Ticks run before the microtasks of a callback, but after those that one of these adds. So this is after all of them. */
const afterMicrotasks = (work: () => void): void => microtask(() => nextTick(work));

const later = new Flush('clock' in nextTick ? microtask : afterMicrotasks);
const soon = new Flush(microtask);

/**
 * Flushes an output after the current callback of the event loop, and after all microtasks that follow it. So the replies of
 * async functions to requests that came together leave together. Called once per output that has begun to queue.
 *
 * On virtual time, microtasks run only after all actions, so an action of the clock flushes earlier.
 *
 * @param clock The connection's clock.
 */
export function flushLater(output: Flushable, clock: SchedulerLike): void {
  if (clock !== monotonic) clock.schedule(() => output.flush(), 0);
  later.add(output);
}

/** Flushes an output in a microtask: before an async function goes on that awaits its write. */
export function flushSoon(output: Flushable): void {
  soon.add(output);
}
