import { Queue } from '../queue.ts';
import { timeSliceIsSpent } from '../time/eventLoop.ts';
import { fires } from '../time/fires.ts';
import { monotonic } from '../time/monotonic.ts';

/** Milliseconds of one iteration of the event loop that the sockets which wait here may take. */
const TURN = 1;

/** A socket whose peer has left, and whose handler has not been told. */
export interface Departing {
  depart(): void;
}

const departing = new Queue<Departing>();
/** A `setImmediate` is pending that will run. */
let armed = false;

/**
 * When many peers leave at once, one poll of the event loop finds all of them. The work for each is done in the same iteration
 * only as long as that has not lasted long. The rest waits for the next iterations, in order.
 *
 * @returns Whether the socket is to wait. If so its `depart` is called later.
 */
export function departsLater(socket: Departing): boolean {
  if (departing.size === 0 && !timeSliceIsSpent(monotonic)) return false;
  departing.push(socket);
  arm();
  return true;
}

function arm(): void {
  if (!armed) armed = fires(setImmediate(goOn));
}

function goOn(): void {
  armed = false;
  const until = performance.now() + TURN;
  do {
    const next = departing.shift();
    // Before the call: what it throws is the process's to hear, and the others go on all the same.
    if (departing.size > 0) arm();
    next?.depart();
  } while (departing.size > 0 && performance.now() < until);
}
