import type { SchedulerLike, Subscriber, Unsubscribable } from 'rxjs';
import type { ByteSink, SourceControl } from '../connection/source.ts';
import { FrameInvalidError, isA } from '../errors.ts';
import { describe, isBytes } from '../options.ts';
import { asBuffer, copyOf } from './carry.ts';
import { BLANK, type Decoder, type Input, PENDING } from './decoder.ts';
import { FrameDeadline, hasFrameDeadline } from './frameDeadline.ts';

/**
 * Frames that one connection emits in one event-loop iteration before it yields to the other connections. A chunk of 64 KiB can
 * hold tens of thousands of tiny frames. A thousand take well under a millisecond, so the cost of an iteration stays negligible.
 */
const FRAMES_A_SLICE = 1024;
/** The same in milliseconds, for handlers that take longer for a frame. */
const TIME_A_SLICE = 5;
/**
 * While the frames since the last yield took less than this together, in milliseconds, the clock is read less often each time.
 */
const QUICK = 1;
/** The clock is read at least once in so many frames; so many slow frames may follow quick ones before that is noticed. */
const LOOK_EACH = 8;

/** Replaces the decoder after the end: otherwise the frame that it had begun would stay in memory. */
const GONE: Decoder<never> = { buffered: 0, decode: () => PENDING, decodeEof: () => BLANK };

const NOTHING = Buffer.alloc(0);
const NEVER = Number.POSITIVE_INFINITY;

/**
 * A pull loop over pushed chunks. It asks the decoder for one frame at a time, so it can stop between any two frames, and what
 * is left of the chunk is one piece of memory with one index into it.
 *
 * ```text
 * state     holds of the input         leaves it on
 * IDLE      nothing                    next ─▶ RUNNING · complete ─▶ CLOSED, after `decodeEof` if a frame has begun
 * RUNNING   the chunk, borrowed        PENDING ─▶ IDLE · input paused ─▶ PAUSED · error ─▶ CLOSED
 * PAUSED    a copy of what is left     resume ─▶ RUNNING
 * CLOSED    nothing
 * ```
 *
 * Two requests wait until the loop reaches the place where it can fulfil them:
 *
 * - `drain` completes at the first frame boundary: at once in IDLE and PAUSED if no frame has begun, else after the frame that
 *   has.
 * - `complete` completes when every frame of the input is emitted: after PAUSED and RUNNING, never from within them.
 */
export class FrameLoop<T> implements ByteSink, Input, Unsubscribable {
  bytes: Buffer = NOTHING;
  at = 0;

  readonly #to: Subscriber<T>;
  #decoder: Decoder<T>;
  readonly #control: SourceControl | undefined;
  readonly #timeout: number;
  readonly #clock: SchedulerLike;
  /**
   * Other operators are between the connection and this one. A chunk that they emit late can arrive while the input is paused.
   */
  readonly #follows: boolean;
  /** Made when a frame first arrives in parts. */
  #deadline: FrameDeadline | undefined;
  /** The last report to the control: bytes buffered, and whether frames wait among them. */
  #reported = 0;
  #frames = 0;
  /** RUNNING: the loop is on the stack, so a call now comes from downstream. */
  #isRunning = false;
  /** PAUSED, or RUNNING over such a copy: `bytes` is ours to keep. */
  #isPaused = false;
  /** Frames that may still follow before the loop yields. A pause within the same iteration does not reset it. */
  #left = FRAMES_A_SLICE;
  /** When the first frame since the last yield was decoded; `NEVER` if that is the next frame. */
  #sliceBegan = NEVER;
  /** The clock is read once in so many frames: a power of two. */
  #step = 1;
  /** Complete at the next frame boundary. */
  #isDraining = false;
  /** The source has completed; frames of it may still have to be decoded. */
  #hasEnded = false;

  constructor(
    to: Subscriber<T>,
    decoder: Decoder<T>,
    control: SourceControl | undefined,
    timeout: number,
    clock: SchedulerLike,
    follows: boolean,
  ) {
    this.#to = to;
    this.#decoder = decoder;
    this.#control = control;
    this.#timeout = timeout;
    this.#clock = clock;
    this.#follows = follows;
  }

  next(chunk: Uint8Array): void {
    if (this.#to.closed) return;
    if (!isBytes(chunk)) return this.#fail(new TypeError(`Cannot frame ${describe(chunk)}: it is not a Uint8Array`));
    const control = this.#control;
    if (this.#isRunning || this.#isPaused || (this.#follows && control?.mustStop())) {
      // While RUNNING: a Subject that its own observer feeds. In order, behind what is still to be decoded.
      this.bytes = Buffer.concat([this.bytes.subarray(this.at), chunk]);
      this.#isPaused = true;
      this.at = 0;
      if (control !== undefined && !this.#isRunning) this.#report(control);
      return;
    }
    this.#deadline?.earn(chunk.length);
    this.bytes = asBuffer(chunk);
    this.at = 0;
    // A read has an event-loop iteration of its own, and other connections theirs before it. An operator in front may emit at
    // any other time, so the time of the read will not do.
    if (control !== undefined) this.#beginSlice(control.clock.now());
    this.#run();
  }

  error(error: unknown): void {
    this.#to.error(error);
  }

  complete(): void {
    // We ended the connection ourselves. The rest of the input is discarded, so a frame that has begun is not truncated.
    if (this.#control?.over) return this.#to.complete();
    this.#hasEnded = true;
    if (!this.#isRunning && !this.#isPaused) this.#settle();
  }

  resume(): void {
    const control = this.#control;
    if (!this.#isPaused || this.#isRunning || control?.isPaused) {
      this.#deadline?.resume();
      return;
    }
    // The handler may have worked on the last frame after the call that emitted it.
    if (control !== undefined && this.#sliceBegan !== NEVER) this.#look(control);
    if (!control?.isPaused) this.#run();
  }

  drain(): void {
    this.#isDraining = true;
    if (!this.#isRunning) this.#drainHere();
  }

  #run(): void {
    const to = this.#to;
    const control = this.#control;
    const decoder = this.#decoder;
    const deadline = this.#deadline;
    if (control !== undefined && this.#sliceBegan === NEVER) this.#beginSlice(control.clock.now());
    const left = this.#left;
    this.#isRunning = true;
    for (;;) {
      // Read before the frame is emitted: a drain that is requested within `next` takes effect after this frame.
      const draining = this.#isDraining;
      let frame: T | typeof PENDING | typeof BLANK;
      try {
        frame = decoder.decode(this);
      } catch (error) {
        this.#fail(error);
        break;
      }
      // `typeof` first, because it is quick: comparing a frame of any type with a symbol is a call.
      const isNone = typeof frame === 'symbol';
      if (isNone && frame === PENDING) {
        this.#forget();
        this.#settle();
        break;
      }
      if (!(isNone && frame === BLANK)) {
        deadline?.end();
        to.next(frame as T);
      } else if (decoder.buffered === 0) {
        deadline?.end();
      }
      if (to.closed) break;
      // Between two frames of a transaction the decoder has bytes buffered, and the drain waits for the end of the transaction.
      if (this.#isDraining && decoder.buffered === 0) {
        if (draining) to.complete();
        else this.#drainHere();
        break;
      }
      if (control !== undefined) {
        if (--this.#left % this.#step === 0) this.#look(control);
        if (control.mustStop()) {
          this.#retain();
          break;
        }
      }
    }
    this.#isRunning = false;
    if (control === undefined) return;
    this.#report(control);
    control.passed(left - this.#left);
  }

  #beginSlice(now: number): void {
    this.#left = FRAMES_A_SLICE;
    this.#sliceBegan = now;
    this.#step = 1;
  }

  /** Yields to the other connections if this one has had its frames, or its time. */
  #look(control: SourceControl): void {
    const time = control.clock.now() - this.#sliceBegan;
    if (this.#left === 0 || time >= TIME_A_SLICE) {
      this.#sliceBegan = NEVER;
      control.yield();
    } else {
      this.#step = time < QUICK ? Math.min(2 * this.#step, LOOK_EACH) : 1;
    }
  }

  /** Reports what is kept in memory until the next call, if that has changed. */
  #report(control: SourceControl): void {
    const { buffered: pending, memory: buffered = pending } = this.#decoder;
    const bytes = this.#isPaused ? this.bytes.length + buffered : buffered;
    const frames = this.#isPaused ? 1 : 0;
    if (bytes === this.#reported && frames === this.#frames) return;
    const change = bytes - this.#reported;
    const more = frames - this.#frames;
    this.#reported = bytes;
    this.#frames = frames;
    control.reportBuffered(change, more);
  }

  /**
   * Keeps the rest of the chunk, because the next read overwrites it. What is a copy already is not copied again. A copy of which
   * nothing is left is released, because it would count as input that has not been passed on.
   */
  #retain(): void {
    if (this.#isPaused && this.at < this.bytes.length) return;
    this.bytes = copyOf(this.bytes, this.at, this.bytes.length);
    this.at = 0;
    this.#isPaused = true;
  }

  #forget(): void {
    this.bytes = NOTHING;
    this.at = 0;
    this.#isPaused = false;
  }

  /** The decoder has consumed all input: the end, the drain, or the deadline of a frame that has begun. */
  #settle(): void {
    const pending = this.#decoder.buffered > 0;
    if (this.#hasEnded) this.#end(pending);
    else if (this.#isDraining && !pending) this.#to.complete();
    else if (pending) this.#armDeadline();
    else this.#deadline?.end();
  }

  #armDeadline(): void {
    if (this.#deadline === undefined) {
      if (!hasFrameDeadline(this.#timeout, this.#control)) return;
      this.#deadline = new FrameDeadline(this.#timeout, this.#clock, this.#control, (error) => this.#fail(error));
    }
    this.#deadline.begin();
  }

  #end(pending: boolean): void {
    if (this.#to.closed) return;
    if (pending) {
      try {
        const last = this.#decoder.decodeEof();
        if (last !== BLANK) this.#to.next(last);
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#to.complete();
  }

  /**
   * Completes, unless a frame or a transaction has begun: then the loop goes on to its end. A complete frame that was not emitted
   * has not begun, and neither has what follows it: that is dropped, whatever it contains.
   */
  #drainHere(): void {
    if (this.#to.closed || this.#decoder.buffered > 0) return;
    let begun: unknown = BLANK;
    try {
      while (begun === BLANK) begun = this.#decoder.decode(this);
    } catch {
      begun = undefined;
    }
    if (begun !== PENDING) return this.#to.complete();
    this.#forget();
    this.#settle();
  }

  #fail(error: unknown): void {
    const fault = isA(error, Error) ? error : new FrameInvalidError('the decoder failed', { cause: error });
    this.#control?.closeAs(fault);
    this.#to.error(fault);
  }

  unsubscribe(): void {
    this.release();
  }

  /** Releases all memory: the source may outlive the subscription, and keep this object. */
  release(): void {
    this.#deadline?.clear();
    this.#decoder = GONE;
    this.#forget();
    if (this.#control !== undefined) this.#report(this.#control);
  }
}
