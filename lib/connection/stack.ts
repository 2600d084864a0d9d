/** A state change of a connection, with the calls of Node and RxJS that belong to it, takes less of the stack: 32 KiB, in words. */
const ENOUGH: readonly undefined[] = Array.from({ length: 4096 });

const nothing = () => undefined;
const resolved = Promise.resolve();

/**
 * Whether the call stack has room for a state change. Without it a `RangeError` could be thrown at any call in the middle
 * of the change, and leave half of it.
 */
export function hasStack(): boolean {
  try {
    Reflect.apply(nothing, undefined, ENOUGH);
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
