import type { Paused } from '../events.ts';

/** Why the input is held back: a set of bits, one for each cause. */
export const PauseCause = {
  /** The peer does not take what is written. */
  peer: 1,
  /** The handler has as much to do as it allows itself. */
  handler: 2,
  /** All connections together hold more than the server's budget. */
  budget: 4,
  /** Others have their turn. It lasts one, and nobody is to blame. */
  turn: 8,
  /** The handler has not subscribed to it, and may yet. */
  unread: 16,
  /** The pipe has not taken the connection. */
  waiting: 32,
  /**
   * An operator of the user. It is counted and not a bit: the bits from here on are the number of operators that pause the input,
   * so that one of them never resumes what another has paused.
   */
  operator: 64,
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

/** The causes on our side: while one of them holds, the silence of the peer is not the peer's. */
export const LOCAL_CAUSES = PauseCause.handler | PauseCause.budget | PauseCause.turn | OPERATORS;

/** The causes that stop the clock of a frame. The budget does not: what it holds back stands under its deadlines. */
export const FRAME_CLOCK_STOPS = PauseCause.peer | PauseCause.handler | PauseCause.turn | OPERATORS;

const NOT_AT_ALL: Paused = { peer: 0, handler: 0, budget: 0 };

/** Keeps the book of who is to blame. It begins with the first hold: most connections never have one. */
export class PauseTimes {
  #peer = 0;
  #handler = 0;
  #budget = 0;
  #since = 0;

  /** Books the time since the last change on the causes that held until now. */
  change(holds: number, now: number): void {
    const time = now - this.#since;
    this.#since = now;
    // A handler that waits for its peer has more to do than it may, too, but not by its own fault.
    if (holds & PauseCause.peer) this.#peer += time;
    else if (holds & (PauseCause.handler | OPERATORS)) this.#handler += time;
    if (holds & PauseCause.budget) this.#budget += time;
  }

  /** The sums up to now. */
  static sums(blame: PauseTimes | undefined, holds: number, now: number): Paused {
    if (blame === undefined) return NOT_AT_ALL;
    blame.change(holds, now);
    return { peer: blame.#peer, handler: blame.#handler, budget: blame.#budget };
  }
}
