import type { SchedulerLike } from 'rxjs';
import { DeadlineError } from '../errors.ts';
import { LazyTimer } from '../time/lazyTimer.ts';
import type { Output } from './output.ts';

/** The deadlines of a served connection, in milliseconds; `Infinity` for none. */
export interface Deadlines {
  /** Silence in both directions. */
  readonly idle: number;
  /** Until the first byte. */
  readonly greeting: number;
  /** From the first byte of a frame to its last. */
  readonly frame: number;
  /** From when the work on a request begins until its reply is complete. */
  readonly reply: number;
  /** How long the connection may take to finish once its lifetime is over. */
  readonly grace: number;
}

/** What a watchdog reads from its connection, and calls on it. */
export interface WatchdogOwner {
  readonly clock: SchedulerLike;
  readonly output: Output;
  /** Bytes received. */
  readonly bytesIn: number;
  /** Whether the library or the handler is working for the peer: then its silence is not idleness. */
  readonly busy: boolean;
  /** Whether our side has ended the connection. Then only the time for the rest is limited. */
  readonly over: boolean;
  /** Whether the handler is unsubscribed. */
  readonly isDetached: boolean;
  /** Milliseconds that its PROXY header and its TLS handshake took. */
  readonly preamble: number;
  /** Runs work in the connection's async context. */
  inContext(work: () => void): void;
  /** The time to end in good order is over: closes at once. */
  destroy(): void;
  /** The peer reads too slowly: closes at once. */
  abortWith(error: DeadlineError): void;
  /** A deadline passed that the handler receives as an error; it may send a last message. */
  deadlineMissed(error: DeadlineError): void;
  /** The lifetime is over: the connection is asked to finish. */
  lifetimeOver(error: DeadlineError): void;
}

const NEVER = Number.POSITIVE_INFINITY;

/**
 * Moments are whole milliseconds, rounded up: V8 keeps such a number in the field itself, and a fraction in an object of its own. A
 * deadline that is counted from it is up to a millisecond late, and never early.
 */
const wholeNow = (clock: SchedulerLike): number => Math.ceil(clock.now());

const NO_DEADLINES: Deadlines = { idle: NEVER, greeting: NEVER, frame: NEVER, reply: NEVER, grace: NEVER };

/**
 * Which deadline of one connection is next, and what happens when it passes: one timer for all of them.
 *
 * | deadline   | runs                                     | is re-armed by             | then                     |
 * |------------|------------------------------------------|----------------------------|--------------------------|
 * | destroy    | in the last stages of a connection (1)   | nothing; the earliest wins | closed at once           |
 * | `stall`    | while output is pending                  | any byte that is taken     | closed at once           |
 * | `pace.out` | while output is pending                  | each byte earns 1/rate s   | closed at once           |
 * | `lifetime` | from when the connection is taken        | nothing                    | drained within `grace`   |
 * | `greeting` | from when it is taken to the first byte (2) | nothing                 | the input errors         |
 * | `idle`     | unless work is in progress               | any byte in or out         | the input errors         |
 *
 * (1) It limits the linger after our FIN, a refusal, the last message after a missed deadline, the input that is still read after
 * a failed write, and the time to finish after the lifetime. The last three rows end when our side ends the connection. The frame
 * deadline is in `framing/`, the reply deadline in `flow/`.
 *
 * (2) A PROXY header and a TLS handshake count as part of it, but not the time in the waiting room.
 */
export class Watchdog extends LazyTimer {
  deadlines = NO_DEADLINES;
  /** When the connection was accepted. */
  readonly #acceptedAt: number;
  /** When an operator subscribed to it. */
  #takenAt: number | undefined;
  readonly #owner: WatchdogOwner;
  /** When a byte last came or went, or our own work ended. */
  #activeAt: number;
  #destroyAt: number | undefined;
  #lifetimeEndsAt: number | undefined;

  constructor(owner: WatchdogOwner) {
    super();
    this.#owner = owner;
    this.#acceptedAt = this.#activeAt = wholeNow(owner.clock);
  }

  protected get clock(): SchedulerLike {
    return this.#owner.clock;
  }

  protected override get isShared(): boolean {
    return true;
  }

  /** Milliseconds since it was accepted. */
  get age(): number {
    return wholeNow(this.clock) - this.#acceptedAt;
  }

  /** Whether an operator has subscribed to it. */
  get isTaken(): boolean {
    return this.#takenAt !== undefined;
  }

  /** Milliseconds from its accept until it was taken, or until now. */
  get waited(): number {
    return this.#takenAt === undefined ? this.age : this.#takenAt - this.#acceptedAt;
  }

  /** When a byte last came or went, or our own work last ended. */
  get lastActivity(): number {
    this.#look();
    return this.#activeAt;
  }

  /** The same, or later while the peer may take pending output without our seeing it. */
  get silentSince(): number {
    this.#look();
    return Math.max(this.#activeAt, this.#owner.output.progress?.mayHaveMovedAt ?? 0);
  }

  /** Bytes have come. What the peer has taken before that counts from now at the latest. */
  received(): void {
    this.#look();
    this.active();
  }

  active(): void {
    this.#activeAt = wholeNow(this.clock);
  }

  taken(): void {
    this.#takenAt = this.#activeAt = wholeNow(this.clock);
  }

  /** The idle time begins anew because our own work is over. */
  rested(): void {
    this.active();
    if (this.deadlines.idle !== NEVER) this.set();
  }

  guard(deadlines: Deadlines): void {
    this.deadlines = deadlines;
    this.set();
  }

  /** @param lifetime Milliseconds from now. */
  expireAfter(lifetime: number): void {
    this.#lifetimeEndsAt = wholeNow(this.clock) + lifetime;
    this.set();
  }

  /** Limits the time that is left, in milliseconds from now. It cannot be extended. `set` arms the timer. */
  destroyWithin(time: number): void {
    const at = Math.min(this.#destroyAt ?? NEVER, wholeNow(this.clock) + time);
    if (at !== NEVER) this.#destroyAt = at;
  }

  due(): number {
    this.#look();
    const { progress } = this.#owner.output;
    const due = Math.min(this.#destroyAt ?? NEVER, progress?.stalledAt ?? NEVER, progress?.tooSlowAt ?? NEVER);
    if (!this.isTaken || this.#owner.over || this.#destroyAt !== undefined) return due;
    return Math.min(due, this.#idleAt, this.#greetingAt, this.#lifetimeEndsAt ?? NEVER);
  }

  /** The process was stopped for so many milliseconds, which is not the peer's fault. */
  override forgive(lost: number): void {
    this.#owner.output.progress?.forgive(this.clock.now(), lost);
  }

  expire(): void {
    this.#owner.inContext(() => this.#expire());
  }

  #expire(): void {
    const now = this.clock.now();
    const owner = this.#owner;
    const { progress } = this.#owner.output;
    const { idle, greeting, grace } = this.deadlines;
    if (now >= (this.#destroyAt ?? NEVER)) {
      owner.destroy();
    } else if (progress && now >= progress.stalledAt) {
      owner.abortWith(new DeadlineError('stall', progress.stall));
    } else if (progress && now >= progress.tooSlowAt) {
      owner.abortWith(new DeadlineError('pace', progress.patience));
    } else if (owner.over || this.#destroyAt !== undefined) {
      // Only the deadlines above are left.
    } else if (this.#lifetimeEndsAt !== undefined && now >= this.#lifetimeEndsAt) {
      const error = new DeadlineError('lifetime', this.#lifetimeEndsAt - (this.#takenAt ?? 0));
      this.destroyWithin(grace);
      // The lifetime ends once. With an infinite grace the timer would fire again and again otherwise.
      this.#lifetimeEndsAt = undefined;
      this.set();
      owner.lifetimeOver(error);
    } else if (now >= this.#greetingAt) {
      owner.deadlineMissed(new DeadlineError('greeting', greeting));
    } else if (now >= this.#idleAt) {
      owner.deadlineMissed(new DeadlineError('idle', idle));
    }
    if (!owner.isDetached) this.set();
  }

  get #greetingAt(): number {
    if (this.#owner.bytesIn > 0 || this.#takenAt === undefined) return NEVER;
    return this.#takenAt - this.#owner.preamble + this.deadlines.greeting;
  }

  get #idleAt(): number {
    const { idle } = this.deadlines;
    return idle === NEVER || this.#owner.busy ? NEVER : this.silentSince + idle;
  }

  /** Sees whether a large write has moved since the last look. */
  #look(): void {
    const { progress } = this.#owner.output;
    if (progress === undefined || this.#owner.isDetached) return;
    const { bytesOut } = this.#owner.output;
    if (!progress.hasMoved(bytesOut)) return;
    this.active();
    progress.moved(this.#activeAt, bytesOut);
  }
}
