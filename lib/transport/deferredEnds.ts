import { Queue } from '../queue.ts';
import { timeSliceIsSpent } from '../time/eventLoop.ts';
import { fires } from '../time/fires.ts';
import { monotonic } from '../time/monotonic.ts';

/** Milliseconds for which deferred notifications may occupy one iteration of the event loop. */
const TIME_SLICE = 1;

/** A socket whose peer has ended the connection, and whose handler is not notified yet. */
export interface EndedSocket {
  notifyEnd(): void;
}

const deferred = new Queue<EndedSocket>();
/** A `setImmediate` is pending that will run. */
let armed = false;

/**
 * Defers the notification of a socket's handler when many peers end their connections at once.
 *
 * One poll of the event loop finds all of those ends. The handlers are notified in the same iteration only until its time slice
 * is spent; otherwise other connections would wait for all of them. The rest is notified in the next iterations, in order.
 *
 * @returns Whether the notification is deferred. If so, `notifyEnd` is called later.
 */
export function defersEnd(socket: EndedSocket): boolean {
  if (deferred.size === 0 && !timeSliceIsSpent(monotonic)) return false;
  deferred.push(socket);
  arm();
  return true;
}

function arm(): void {
  if (!armed) armed = fires(setImmediate(notifySome));
}

function notifySome(): void {
  armed = false;
  const until = performance.now() + TIME_SLICE;
  do {
    const next = deferred.shift();
    // Armed before the call, because the call may throw. Its error is uncaught in the process, and the other sockets still
    // follow.
    if (deferred.size > 0) arm();
    next?.notifyEnd();
  } while (deferred.size > 0 && performance.now() < until);
}
