import { Observable, type SchedulerLike, type Subscriber, type Subscription } from 'rxjs';

/**
 * Takes bytes in place. A chunk is **borrowed**: it lies in a buffer that the next read overwrites, so it holds only
 * during the call of `next`. Whoever keeps bytes longer copies them.
 */
export interface ByteSink {
  next(chunk: Uint8Array): void;
  error(error: unknown): void;
  complete(): void;
  /** The input may flow again: go on with what was held back while {@link Gate.held} was set. */
  resume?(): void;
  /** The server drains: complete at the next frame boundary, which may be now. Without it the input completes now. */
  drain?(): void;
}

/**
 * The connection behind some bytes, as far as an operator on them needs it.
 */
export interface Gate {
  /** Whether the input is held back. A framing loop looks after each frame, and keeps the rest until `resume`. */
  readonly held: boolean;
  /** Milliseconds a begun frame may take, if the operator sets no limit of its own. `Infinity` for no limit. */
  readonly frameTimeout: number;
  /** The connection's clock. */
  readonly clock: SchedulerLike;
  /** When a byte last went in or out, in milliseconds of that clock. */
  readonly lastActivity: number;
  /** Whether the chunks of a {@link ByteSink} are borrowed, or the receiver's to keep. */
  readonly borrowed: boolean;
  /** Says how many bytes are carried from one call to the next: of a frame that has not ended, or held back. */
  carry(bytes: number): void;
  /** Gives way to the other connections: the input is held, and flows again after one turn of the event loop. */
  yield(): void;
  /** Tells the connection what is wrong with its input, so that its close reason is true whatever the handler replies. */
  blame(error: Error): void;
}

/** An Observable of bytes that our own operators can read in place; to everyone else it hands out copies. */
export abstract class Bytes extends Observable<Uint8Array> {
  /** The connection these bytes come from. */
  abstract readonly gate: Gate;
  /** Subscribes in place. */
  abstract borrow(sink: ByteSink): Subscription;

  constructor() {
    super((subscriber) => this.borrow(new Copies(subscriber, this)));
  }
}

class Copies implements ByteSink {
  readonly #to: Subscriber<Uint8Array>;
  readonly #from: Bytes;
  constructor(to: Subscriber<Uint8Array>, from: Bytes) {
    this.#to = to;
    this.#from = from;
  }
  next(chunk: Uint8Array): void {
    this.#to.next(this.#from.gate.borrowed ? Buffer.from(chunk) : chunk);
  }
  error(error: unknown): void {
    this.#to.error(error);
  }
  complete(): void {
    this.#to.complete();
  }
}

/** Bytes made of other bytes: what an operator such as `idle` returns, so that framing behind it still reads in place. */
export class LiftedBytes extends Bytes {
  readonly gate: Gate;
  readonly #subscribe: (sink: ByteSink) => Subscription;

  constructor(source: Bytes, subscribe: (sink: ByteSink) => Subscription) {
    super();
    this.gate = source.gate;
    this.#subscribe = subscribe;
  }

  borrow(sink: ByteSink): Subscription {
    return this.#subscribe(sink);
  }
}

/** Subscribes in place where that can be done, and as usual elsewhere. */
export function borrow(source: Observable<Uint8Array>, sink: ByteSink): Subscription {
  return source instanceof Bytes ? source.borrow(sink) : source.subscribe(sink);
}
