const words = (count: number): readonly undefined[] => Array.from({ length: count });

/** A state change of a connection, with its calls of Node and RxJS, needs less stack than this: 16 KiB, in words. */
const ENOUGH = words(2 * 1024);

/** While its functions may not be compiled yet it needs far more, because V8 compiles on the same stack: 128 KiB. */
const ENOUGH_TO_COMPILE = words(16 * 1024);
const COLD = 1000;

/**
 * How often each change has been made. A rare change may not be compiled yet when the others are. A call that changes nothing
 * must not count.
 */
const made = { abort: 0, abortWith: 0, complete: 0, drain: 0, end: 0, error: 0, fail: 0, halfClose: 0 };

const nothing = () => undefined;
const resolved = Promise.resolve();

/**
 * Whether the call stack has room for a state change. Otherwise any call within the change could throw a `RangeError`, and leave
 * the change half done.
 *
 * @param change The change that begins if there is room.
 */
export function hasStack(change: keyof typeof made): boolean {
  try {
    Reflect.apply(nothing, undefined, made[change] < COLD ? ENOUGH_TO_COMPILE : ENOUGH);
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
