import { Observable, type OperatorFunction, type SchedulerLike, type Subscriber, takeWhile } from 'rxjs';
import { type ByteSink, Bytes, borrow, type Gate } from '../connection/bytes.ts';
import { DeadlineError, FrameInvalidError } from '../errors.ts';
import { Alarm, type AlarmOwner } from '../time/alarm.ts';
import { defaultClock } from '../time/monotonic.ts';
import { asBuffer, copyOf } from './carry.ts';
import { checkKeys, checkTimeout, type FrameTimeOptions, timeKeys } from './options.ts';

/** What a {@link Decoder} answers when all input is taken and no further frame has ended in it. */
export const PENDING: unique symbol = Symbol('pending');
/** What a {@link Decoder} answers for a frame that carries no value, such as a blank line between two JSON values. */
export const BLANK: unique symbol = Symbol('blank');

/** The input in front of a {@link Decoder}: `bytes` from `at` on. The bytes are borrowed, the decoder moves `at`. */
export interface Input {
  readonly bytes: Buffer;
  at: number;
}

/**
 * A format: how one frame after the other is cut out of bytes. One decoder serves one subscription; all that has to do
 * with connections, time and RxJS is the loop's, so a format of your own is this one small class.
 */
export interface Decoder<T> {
  /** How many bytes of a frame are held whose end has not come: 0 between two frames. */
  readonly pending: number;
  /**
   * Cuts the next frame and moves `input.at` behind what it has taken. Answers {@link PENDING} only when it has taken
   * all, with a copy of whatever it still needs. A frame must not share memory with the input.
   * @throws FrameTooLongError, FrameInvalidError: the input ends with that error.
   */
  cut(input: Input): T | typeof PENDING | typeof BLANK;
  /**
   * The input ended while bytes were pending: the last frame, if the format can do without its end.
   * @throws FrameTruncatedError, if it cannot.
   */
  end(): T | typeof BLANK;
}

/**
 * Frames handed on in one turn of the event loop before the other connections get theirs. A chunk of 64 KiB can hold
 * tens of thousands of tiny frames; a thousand take well under a millisecond, and keep the turn's own cost invisible.
 */
const FRAMES_A_TURN = 1024;
/** The same in milliseconds, for handlers that have more to do with a frame; looked at each so many frames. */
const TIME_A_TURN = 5;
const LOOK_EACH = 32;

/** What stands in for a decoder after the end, so that a frame it was in the middle of is not kept. */
const GONE: Decoder<never> = { pending: 0, cut: () => PENDING, end: () => BLANK };

const NOTHING = Buffer.alloc(0);
const NEVER = Number.POSITIVE_INFINITY;

/**
 * Cuts bytes into the frames of a format. All framing operators are this one with a {@link Decoder}.
 *
 * ```text
 * source          --(he)----(llo\nwor)--(ld\n)--|
 * frames(lines)   ----------(hello)-----(world)-|
 * ```
 *
 * Applied to a connection (or to `idle` over one) it decodes in place, in the buffer all connections share; what it
 * hands on is copied. It stops after any frame when the connection's input is held back, goes on from there later, and
 * completes at a frame boundary when the server drains. On every other Observable of bytes it just decodes.
 *
 * It ends when its source does. It errors with what the decoder finds wrong, after the frames before it, and with
 * {@link DeadlineError} when a frame that has begun does not end in time.
 *
 * @param decoder Makes the decoder for one subscription.
 * @param options The frame deadline, in milliseconds, and its clock.
 * @returns An operator from chunks of bytes, cut anywhere, to frames.
 */
export function frames<T>(decoder: () => Decoder<T>, options: FrameTimeOptions = {}): OperatorFunction<Uint8Array, T> {
  checkKeys(options, timeKeys);
  checkTimeout(options.timeout);
  return (source) =>
    new Observable((subscriber) => {
      const gate = source instanceof Bytes ? source.gate : undefined;
      const { timeout = gate?.frameTimeout ?? NEVER, scheduler = gate?.clock ?? defaultClock() } = options;
      const loop = new FrameLoop(subscriber, decoder(), gate, timeout, scheduler);
      // Subscribing to an endless synchronous source does not return: it must be told from within that we have enough.
      const bytes = gate === undefined ? source.pipe(takeWhile(() => !subscriber.closed)) : source;
      subscriber.add(() => loop.release());
      return borrow(bytes, loop);
    });
}

/**
 * The one loop. It is a pull loop over pushed chunks: the decoder is asked for one frame at a time, so that between any
 * two frames there is a place to stop, and what is left lies in one piece with one index into it.
 */
class FrameLoop<T> implements ByteSink, Input, AlarmOwner {
  bytes: Buffer = NOTHING;
  at = 0;

  readonly #to: Subscriber<T>;
  #decoder: Decoder<T>;
  readonly #gate: Gate | undefined;
  readonly #timeout: number;
  readonly #clock: SchedulerLike;
  #alarm: Alarm | undefined;
  /** What the gate has been told. */
  #carried = 0;
  /** When the pending frame began. */
  #begun = NEVER;
  /** The loop is on the stack: whoever comes now comes from downstream. */
  #running = false;
  /** `bytes` is a copy of our own, and waits until the gate opens. */
  #held = false;
  /** Complete at the next frame boundary. */
  #draining = false;
  /** The source completed while frames were still to be cut. */
  #ended = false;

  constructor(to: Subscriber<T>, decoder: Decoder<T>, gate: Gate | undefined, timeout: number, clock: SchedulerLike) {
    this.#to = to;
    this.#decoder = decoder;
    this.#gate = gate;
    this.#timeout = timeout;
    this.#clock = clock;
  }

  next(chunk: Uint8Array): void {
    if (this.#to.closed) return;
    if (this.#running || this.#held) {
      // A Subject that is fed by its own observer: in order, after what is still to be cut.
      this.bytes = Buffer.concat([this.bytes.subarray(this.at), chunk]);
      this.#held = true;
      this.at = 0;
      return;
    }
    this.bytes = asBuffer(chunk);
    this.at = 0;
    this.#run();
  }

  error(error: unknown): void {
    this.#to.error(error);
  }

  complete(): void {
    this.#ended = true;
    if (!this.#running && !this.#held) this.#settle();
  }

  resume(): void {
    if (this.#held && !this.#running && !this.#gate?.held) this.#run();
  }

  drain(): void {
    this.#draining = true;
    if (!this.#running) this.#drainHere();
  }

  #run(): void {
    const to = this.#to;
    const gate = this.#gate;
    const decoder = this.#decoder;
    let turn = FRAMES_A_TURN;
    let began = NEVER;
    this.#running = true;
    for (;;) {
      // Read before the frame is handed on: a drain that comes from inside `next` is not for this frame but after it.
      const draining = this.#draining;
      let frame: T | typeof PENDING | typeof BLANK;
      try {
        frame = decoder.cut(this);
      } catch (error) {
        this.#fail(error);
        break;
      }
      if (frame === PENDING) {
        this.#forget();
        this.#settle();
        break;
      }
      this.#begun = NEVER;
      if (frame !== BLANK) to.next(frame);
      if (to.closed) break;
      if (this.#draining) {
        if (draining) to.complete();
        else this.#drainHere();
        break;
      }
      if (gate !== undefined) {
        if (--turn % LOOK_EACH === 0) {
          const now = gate.clock.now();
          began = Math.min(began, now);
          if (turn === 0 || now - began >= TIME_A_TURN) gate.yield();
        }
        if (gate.held) {
          this.#hold();
          break;
        }
      }
    }
    this.#running = false;
    if (gate !== undefined) this.#weigh(gate);
  }

  /** Says what is kept from here to the next call, if that has changed. */
  #weigh(gate: Gate): void {
    const { pending } = this.#decoder;
    const carried = this.#held ? this.bytes.length - this.at + pending : pending;
    if (carried === this.#carried) return;
    this.#carried = carried;
    gate.carry(carried);
  }

  /** Keeps the rest of the chunk, which the next read overwrites. What is held already is not copied again. */
  #hold(): void {
    if (this.#held) return;
    this.bytes = copyOf(this.bytes, this.at, this.bytes.length);
    this.at = 0;
    this.#held = true;
  }

  #forget(): void {
    this.bytes = NOTHING;
    this.at = 0;
    this.#held = false;
  }

  /** All input is taken: the end, the drain, or the deadline of what is pending. */
  #settle(): void {
    const pending = this.#decoder.pending > 0;
    if (this.#ended) this.#end(pending);
    else if (this.#draining && !pending) this.#to.complete();
    else if (pending) this.#await();
    else this.#begun = NEVER;
  }

  #end(pending: boolean): void {
    if (this.#to.closed) return;
    if (pending) {
      try {
        const last = this.#decoder.end();
        if (last !== BLANK) this.#to.next(last);
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#to.complete();
  }

  /**
   * Between two frames, or in the middle of one. A frame that is complete but was never handed on has not begun, and
   * neither has what lies behind it: that is dropped, whatever is in it.
   */
  #drainHere(): void {
    if (this.#to.closed) return;
    try {
      if (this.#decoder.cut(this) !== PENDING) this.#to.complete();
    } catch {
      this.#to.complete();
    }
    this.#forget();
    if (!this.#to.closed) this.#settle();
  }

  /** The deadline runs from the first byte: more bytes of the same frame find it running. */
  #await(): void {
    if (this.#timeout === NEVER || this.#begun !== NEVER) return;
    this.#begun = this.#clock.now();
    this.#alarm ??= new Alarm(this.#clock, this);
    this.#alarm.set();
  }

  due(): number {
    return this.#begun + this.#timeout;
  }

  expire(): void {
    this.#fail(new DeadlineError('frame', this.#timeout));
  }

  #fail(error: unknown): void {
    const fault = error instanceof Error ? error : new FrameInvalidError('the decoder failed', { cause: error });
    this.#gate?.blame(fault);
    this.#to.error(fault);
  }

  /** Lets go of everything: the source may outlive us, and would keep what we hold. */
  release(): void {
    this.#alarm?.clear();
    this.#begun = NEVER;
    this.#decoder = GONE;
    this.#forget();
  }
}
