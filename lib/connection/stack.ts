const words = (count: number): readonly undefined[] => Array.from({ length: count });

/** A state change of a connection, with the calls of Node and RxJS that belong to it, takes less of the stack: 16 KiB, in words. */
const ENOUGH = words(2 * 1024);

/** While its functions may still have to be compiled it takes far more, as V8 compiles on the same stack: 128 KiB. */
const ENOUGH_TO_COMPILE = words(16 * 1024);
const COLD = 1000;

/** How often each change has been made: one that is rare is still to be compiled when others are not. */
const made = { abort: 0, abortWith: 0, complete: 0, drain: 0, end: 0, error: 0, fail: 0, halfClose: 0 };

const nothing = () => undefined;
const resolved = Promise.resolve();

/**
 * Whether the call stack has room for a state change. Without it a `RangeError` could be thrown at any call in the middle
 * of the change, and leave half of it.
 *
 * @param change What begins if there is.
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
 * Calls back on an empty stack, in a microtask. A promise takes no call of JavaScript to get there, where `queueMicrotask`
 * takes several: they may find the stack full.
 */
export function onEmptyStack(work: () => void): void {
  resolved.then(work);
}
