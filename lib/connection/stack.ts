const words = (count: number): readonly undefined[] => Array.from({ length: count });

/** A state change of a connection, with the calls of Node and RxJS that belong to it, takes less of the stack: 16 KiB, in words. */
const ENOUGH = words(2 * 1024);

/** While its functions may still have to be compiled it takes far more, as V8 compiles on the same stack: 128 KiB. */
const ENOUGH_TO_COMPILE = words(16 * 1024);
const COLD = 1000;
let asked = 0;

const nothing = () => undefined;
const resolved = Promise.resolve();

/**
 * Whether the call stack has room for a state change. Without it a `RangeError` could be thrown at any call in the middle
 * of the change, and leave half of it.
 */
export function hasStack(): boolean {
  try {
    Reflect.apply(nothing, undefined, asked < COLD ? ENOUGH_TO_COMPILE : ENOUGH);
    asked++;
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
