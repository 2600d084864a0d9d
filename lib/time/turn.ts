import type { SchedulerLike } from 'rxjs';
import { Queue } from '../queue.ts';
import { monotonic } from './monotonic.ts';

/** Milliseconds of one turn of the event loop that all together may go on for who could go on for ever. */
const TURN = 1;

/** Who goes on in the next turn, or in the one after that if there are too many. */
const waiting = new Queue<() => void>();
/** The end of the turn is seen to. */
let armed = false;
/** When, in this turn, somebody began who could go on for ever. */
let began: number | undefined;

/**
 * Calls back in the next turn of the event loop: everyone else who can be served in this one is served first. When many
 * wait for that, some of them have a later turn: what is read meanwhile waits for a millisecond, not for all of them.
 */
export function nextTurn(clock: SchedulerLike, work: () => void): void {
  if (clock !== monotonic) {
    clock.schedule(work, 0);
    return;
  }
  waiting.push(work);
  arm();
}

/**
 * Whether this turn has lasted long enough for those who could go on for ever, such as endless replies: all connections'
 * together. Whoever is told so goes on in the next turn. On virtual time a turn has no length: never.
 */
export function turnIsOver(clock: SchedulerLike): boolean {
  if (clock !== monotonic) return false;
  const now = performance.now();
  if (began !== undefined) return now - began >= TURN;
  began = now;
  arm();
  return false;
}

/** Calls back when the event loop has polled once more: what waits to be read or accepted has been. */
export function afterTurn(clock: SchedulerLike, work: () => void): void {
  nextTurn(clock, () => nextTurn(clock, work));
}

/** Calls back at the end of this turn: in a microtask, or where time is virtual, and microtasks wait for its end, in its next action. */
export function endOfTurn(clock: SchedulerLike, work: () => void): void {
  if (clock === monotonic) queueMicrotask(work);
  else clock.schedule(work, 0);
}

function arm(): void {
  if (armed) return;
  // Armed only then: it may be that there is no stack left for it.
  setImmediate(turn);
  armed = true;
}

function turn(): void {
  armed = false;
  began = undefined;
  if (waiting.size === 0) return;
  const until = performance.now() + TURN;
  // Those who come while this runs are for the next turn.
  let left = waiting.size;
  do {
    // Before the call: what it throws is the process's to hear, and the others go on all the same.
    if (waiting.size > 1) arm();
    waiting.shift()?.();
    left--;
    // Looked at behind the call: a process that was kept from its processor for a millisecond before it still serves one.
    // Whoever is left over is seen to only because somebody was called.
  } while (left > 0 && performance.now() < until);
}
