/**
 * Whether a timer certainly fires unless it is cleared, because it is the runtime's own. A fake clock drops its timers when it is
 * removed or reset. So a flag that is cleared by one of its timers would stay set.
 */
export const fires = (timer: object): boolean => OWN.has(timer.constructor.name) && !('runAt' in timer);

/** The timers of `node:test` are called `Timeout`, too. They differ by the field `runAt`. */
const OWN = new Set(['Immediate', 'Timeout']);
