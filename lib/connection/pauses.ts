import type { Paused } from '../events.ts';

/**
 * Why the input is paused: a set of bits, one per cause.
 *
 * | cause      | begins in                                        | ends                                  | reported as      |
 * |------------|--------------------------------------------------|---------------------------------------|------------------|
 * | `peer`     | `socketConnection.ts`: the output is congested   | when the output has room              | `paused.peer`    |
 * | `handler`  | `exchanger.ts`, `iterate.ts`, `relay.ts`         | when the handler can take more        | `paused.handler` |
 * | `budget`   | `socketConnection.ts`: memory is short           | when the budget has memory            | `paused.budget`  |
 * | `yield`    | `input.ts`: the input was read for long enough   | in the next event-loop iteration      | nothing          |
 * | `unread`   | `input.ts`: the handler has not subscribed       | when it subscribes                    | nothing          |
 * | `waiting`  | `socketConnection.ts`: no operator has taken it  | when an operator subscribes           | nothing          |
 * | `handshake` | `upgrade.ts`: TLS begins on the connection     | when it is secured                    | nothing          |
 * | `operator` | `operateBytes.ts`: an operator of the user       | when that operator resumes, or ends   | `paused.handler` |
 */
export const PauseCause = {
  /** The peer does not take what is written. */
  peer: 1,
  /** The handler has as much work as its limits allow. */
  handler: 2,
  /** All connections together hold more than the server's budget. */
  budget: 4,
  /** Other connections are served, for one event-loop iteration. Neither side is at fault. */
  yield: 8,
  /** The handler has not subscribed to the input, and may still do so. */
  unread: 16,
  /** No operator has subscribed to the connection. */
  waiting: 32,
  /** TLS begins in the middle of the conversation. */
  handshake: 64,
  /**
   * An operator of the user. It is a count and not a bit: the bits from here on are the number of operators that pause the input,
   * so that none of them resumes what another one has paused.
   */
  operator: 128,
} as const;

const OPERATORS = -PauseCause.operator;

/** The causes with one more. */
export const withCause = (causes: number, cause: number): number =>
  cause === PauseCause.operator ? causes + cause : causes | cause;

/** The causes without one, or as they are if it is not among them. */
export const withoutCause = (causes: number, cause: number): number => {
  if (cause !== PauseCause.operator) return causes & ~cause;
  return causes & OPERATORS ? causes - cause : causes;
};

/** The causes on our side: while one of them holds, the peer is silent because of us, or has a deadline of its own. */
export const LOCAL_CAUSES =
  PauseCause.handler | PauseCause.budget | PauseCause.yield | PauseCause.handshake | OPERATORS;

/** The causes that stop the clock of a frame. The budget does not: deadlines go on while memory is short. */
export const FRAME_CLOCK_STOPS = PauseCause.peer | PauseCause.handler | PauseCause.yield | OPERATORS;

const NEVER_PAUSED: Paused = { peer: 0, handler: 0, budget: 0 };

/** How long the input was paused for each cause. It exists from the first pause on; most connections never have one. */
export class PauseTimes {
  #peer = 0;
  #handler = 0;
  #budget = 0;
  #since = 0;

  /** Adds the time since the last change to the causes that held until now. */
  change(causes: number, now: number): void {
    const time = now - this.#since;
    this.#since = now;
    // A handler that waits for its peer also has as much work as it may, but that is the peer's doing.
    if (causes & PauseCause.peer) this.#peer += time;
    else if (causes & (PauseCause.handler | OPERATORS)) this.#handler += time;
    if (causes & PauseCause.budget) this.#budget += time;
  }

  /** The sums up to now. */
  static sums(times: PauseTimes | undefined, causes: number, now: number): Paused {
    if (times === undefined) return NEVER_PAUSED;
    times.change(causes, now);
    return { peer: times.#peer, handler: times.#handler, budget: times.#budget };
  }
}
