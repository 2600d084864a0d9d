/**
 * Whether a timer fires unless it is cleared, because it is the runtime's own. A fake clock drops its timers when it is removed
 * or reset, so a flag that waits for one of them would stay set.
 */
export const fires = (timer: object): boolean => OWN.has(timer.constructor.name);

const OWN = new Set(['Immediate', 'Timeout']);
