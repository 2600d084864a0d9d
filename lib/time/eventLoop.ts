import { AsyncResource } from 'node:async_hooks';
import type { SchedulerLike } from 'rxjs';
import { Queue } from '../queue.ts';
import { fires } from './fires.ts';
import { monotonic } from './monotonic.ts';

/** Milliseconds of one turn of the event loop that all together may go on for who could go on for ever. */
const TIME_SLICE = 1;

/** A callback that waits for its turn, in the async context of its caller: one `setImmediate` runs those of all connections. */
class PendingCallback extends AsyncResource {
  readonly #work: () => void;

  constructor(work: () => void) {
    super('SluiceCallback');
    this.#work = work;
  }

  run(): void {
    this.runInAsyncScope(this.#work);
  }
}

/** Who goes on in the next turn, or in the one after that if there are too many. */
const waiting = new Queue<PendingCallback>();
/** A `setImmediate` is pending that will run. */
let armed = false;
/** When, in this turn, somebody began who could go on for ever. */
let sliceStart: number | undefined;

/**
 * Calls back in the next turn of the event loop: everyone else who can be served in this one is served first. When many
 * wait for that, some of them have a later turn: what is read meanwhile waits for a millisecond, not for all of them.
 */
export function nextIteration(clock: SchedulerLike, work: () => void): void {
  if (clock !== monotonic) {
    clock.schedule(work, 0);
    return;
  }
  waiting.push(new PendingCallback(work));
  arm();
}

/**
 * Whether this turn has lasted long enough for those who could go on for ever, such as endless replies: all connections'
 * together. Whoever is told so goes on in the next turn. On virtual time a turn has no length: never.
 */
export function timeSliceIsSpent(clock: SchedulerLike): boolean {
  if (clock !== monotonic) return false;
  const now = performance.now();
  if (sliceStart === undefined) {
    sliceStart = now;
    arm();
    return false;
  }
  // A clock that was set back measures nothing.
  return now - sliceStart >= TIME_SLICE || now < sliceStart;
}

/** Calls back when the event loop has polled once more: what waits to be read or accepted has been. */
export function afterPoll(clock: SchedulerLike, work: () => void): void {
  nextIteration(clock, () => nextIteration(clock, work));
}

/** Calls back at the end of this turn: in a microtask, or where time is virtual, and microtasks wait for its end, in its next action. */
export function endOfCallback(clock: SchedulerLike, work: () => void): void {
  if (clock === monotonic) microtask(work);
  else clock.schedule(work, 0);
}

/** Calls back in a microtask. A promise makes it, because fake clocks may replace `queueMicrotask` but no promise. */
export function microtask(work: () => void): void {
  void RESOLVED.then(work);
}

const RESOLVED = Promise.resolve();

/** A second `setImmediate` does no harm: it finds nothing to do. */
function arm(): void {
  // Armed only behind the call: it may be that there is no stack left for it.
  if (!armed) armed = fires(setImmediate(runIteration));
}

function runIteration(): void {
  armed = false;
  sliceStart = undefined;
  if (waiting.size === 0) return;
  // The time of those who waited counts. Armed before the calls: what one throws is the process's to hear, and the others go
  // on all the same.
  sliceStart = performance.now();
  arm();
  const until = sliceStart + TIME_SLICE;
  // Those who come while this runs are for the next turn.
  let left = waiting.size;
  do {
    waiting.shift()?.run();
    left--;
    // Looked at behind the call: a process that was kept from its processor for a millisecond before it still serves one.
    // Whoever is left over is seen to only because somebody was called.
  } while (left > 0 && performance.now() < until);
}
