/** Calls that take 32 KiB of stack: a state change of a connection, with its calls of Node and RxJS, needs less. */
const ENOUGH = 170;

/** While its functions may not be compiled yet it needs far more, because V8 compiles on the same stack: 128 KiB. */
const ENOUGH_TO_COMPILE = 4 * ENOUGH;
const COLD = 1000;

/** Observers of a drain may drain other connections in the same call, and a table reports each. */
const MORE = 2;

/**
 * How often each change has been made. A rare change may not be compiled yet when the others are. A call that changes nothing
 * must not count.
 */
const made = { abort: 0, abortWith: 0, complete: 0, drain: 0, end: 0, error: 0, fail: 0, halfClose: 0 };

const resolved = Promise.resolve();

/**
 * Takes 192 bytes of stack for each call, in every release of Node: 16 arguments, and the frame. V8 never inlines a function in
 * itself. To push as many words by `Reflect.apply` would take twice as long.
 */
// biome-ignore format: one line for each argument would hide the function.
function descend(
  calls: number,
  a: 0, b: 0, c: 0, d: 0, e: 0, f: 0, g: 0, h: 0, i: 0, j: 0, k: 0, l: 0, m: 0, n: 0, o: 0, p: 0,
): number {
  return calls === 0 ? 0 : descend(calls - 1, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) + 1;
}

/**
 * Whether the call stack has room for a state change. Otherwise any call within the change could throw a `RangeError`, and leave
 * the change half done.
 *
 * @param change The change that begins if there is room.
 */
export function hasStack(change: keyof typeof made): boolean {
  try {
    const enough = made[change] < COLD ? ENOUGH_TO_COMPILE : ENOUGH;
    descend(change === 'drain' ? MORE * enough : enough, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    made[change]++;
    return true;
  } catch {
    return false;
  }
}

/**
 * Calls back on an empty stack, in a microtask. A promise needs no JavaScript call for that. `queueMicrotask` needs several, for
 * which the stack may have no room.
 */
export function onEmptyStack(work: () => void): void {
  resolved.then(work);
}
