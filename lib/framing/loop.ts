import type { SchedulerLike, Subscriber } from 'rxjs';
import { Credit } from '../connection/pace.ts';
import type { ByteSink, SourceControl } from '../connection/source.ts';
import { DeadlineError, FrameInvalidError, isA } from '../errors.ts';
import { describe, isBytes } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { asBuffer, copyOf } from './carry.ts';
import { BLANK, type Decoder, type Input, PENDING } from './decoder.ts';

/**
 * Frames handed on in one turn of the event loop before the other connections get theirs. A chunk of 64 KiB can hold
 * tens of thousands of tiny frames; a thousand take well under a millisecond, and keep the turn's own cost invisible.
 */
const FRAMES_A_TURN = 1024;
/** The same in milliseconds, for handlers that have more to do with a frame. */
const TIME_A_TURN = 5;
/** While all frames of a turn took less than this together, in milliseconds, the clock is looked at more rarely each time. */
const QUICK = 1;
/** Frames between two looks at the clock, at most: as many slow ones may follow on quick ones unseen. */
const LOOK_EACH = 8;

/** What stands in for a decoder after the end, so that a frame it was in the middle of is not kept. */
const GONE: Decoder<never> = { buffered: 0, decode: () => PENDING, decodeEof: () => BLANK };

const NOTHING = Buffer.alloc(0);
const NEVER = Number.POSITIVE_INFINITY;

/**
 * The one loop. It is a pull loop over pushed chunks: the decoder is asked for one frame at a time, so that between any
 * two frames there is a place to stop, and what is left lies in one piece with one index into it.
 */
export class FrameLoop<T> implements ByteSink, Input, DeadlineOwner {
  bytes: Buffer = NOTHING;
  at = 0;

  readonly #to: Subscriber<T>;
  #decoder: Decoder<T>;
  readonly #control: SourceControl | undefined;
  readonly #timeout: number;
  readonly #clock: SchedulerLike;
  /** Other operators stand in front of it. What they hand on late may come while the control is closed. */
  readonly #follows: boolean;
  #timer: DeadlineTimer | undefined;
  /** What the control has been told. */
  #reported = 0;
  #frames = 0;
  /** When the pending frame began. */
  #begun = NEVER;
  /** For how long the input had been held back by then, in milliseconds. */
  #heldBefore = 0;
  /** Of a peer that sends it too slowly. */
  #credit: Credit | undefined;
  /** The loop is on the stack: whoever comes now comes from downstream. */
  #running = false;
  /** `bytes` is a copy of our own, and waits until the control opens. */
  #isPaused = false;
  /** Frames that may follow in this turn. It lasts over what is held back and resumed within it, until others had theirs. */
  #left = FRAMES_A_TURN;
  /** When the turn began; `NEVER` if it begins with the next frame. */
  #turnBegan = NEVER;
  /** The clock is looked at each so many frames: a power of two. */
  #step = 1;
  /** Complete at the next frame boundary. */
  #draining = false;
  /** The source completed while frames were still to be cut. */
  #ended = false;

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
    if (!isBytes(chunk)) return this.#fail(new TypeError(`Cannot frame ${describe(chunk)}: it is no Uint8Array`));
    const control = this.#control;
    if (this.#running || this.#isPaused || (this.#follows && control?.stop())) {
      // A Subject that is fed by its own observer: in order, after what is still to be cut.
      this.bytes = Buffer.concat([this.bytes.subarray(this.at), chunk]);
      this.#isPaused = true;
      this.at = 0;
      if (control !== undefined && !this.#running) this.#weigh(control);
      return;
    }
    if (this.#begun !== NEVER && this.#credit) this.#credit.earn(this.#unheldNow(), chunk.length);
    this.bytes = asBuffer(chunk);
    this.at = 0;
    // A read is the event loop's: others had their turn. With a control it has just looked at the clock.
    if (this.#control !== undefined) this.#beginTurn(this.#control.lastActivity);
    this.#run();
  }

  error(error: unknown): void {
    this.#to.error(error);
  }

  complete(): void {
    // What comes after we have ended it ourselves is discarded, and nobody has cut it short.
    if (this.#control?.over) return this.#to.complete();
    this.#ended = true;
    if (!this.#running && !this.#isPaused) this.#settle();
  }

  resume(): void {
    const control = this.#control;
    if (!this.#isPaused || this.#running || control?.isPaused) {
      // The clock of a frame that has begun goes on.
      if (this.#begun !== NEVER) this.#timer?.set();
      return;
    }
    // What was done with the last frame may have gone on behind the call that handed it on.
    if (control !== undefined && this.#turnBegan !== NEVER) this.#look(control);
    if (!control?.isPaused) this.#run();
  }

  drain(): void {
    this.#draining = true;
    if (!this.#running) this.#drainHere();
  }

  #run(): void {
    const to = this.#to;
    const control = this.#control;
    const decoder = this.#decoder;
    if (control !== undefined && this.#turnBegan === NEVER) this.#beginTurn(control.clock.now());
    this.#running = true;
    for (;;) {
      // Read before the frame is handed on: a drain that comes from inside `next` is not for this frame but after it.
      const draining = this.#draining;
      let frame: T | typeof PENDING | typeof BLANK;
      try {
        frame = decoder.decode(this);
      } catch (error) {
        this.#fail(error);
        break;
      }
      // Asked first for what is quick: to compare whatever a frame may be with a symbol is a call.
      const isNone = typeof frame === 'symbol';
      if (isNone && frame === PENDING) {
        this.#forget();
        this.#settle();
        break;
      }
      if (!(isNone && frame === BLANK)) {
        this.#begun = NEVER;
        to.next(frame as T);
      } else if (decoder.buffered === 0) {
        this.#begun = NEVER;
      }
      if (to.closed) break;
      // Between two frames of one transaction the decoder has bytes pending, and the drain waits for its end.
      if (this.#draining && decoder.buffered === 0) {
        if (draining) to.complete();
        else this.#drainHere();
        break;
      }
      if (control !== undefined) {
        if (--this.#left % this.#step === 0) this.#look(control);
        if (control.stop()) {
          this.#retain();
          break;
        }
      }
    }
    this.#running = false;
    if (control !== undefined) this.#weigh(control);
  }

  #beginTurn(now: number): void {
    this.#left = FRAMES_A_TURN;
    this.#turnBegan = now;
    this.#step = 1;
  }

  /** Gives way to the others if the turn is over. */
  #look(control: SourceControl): void {
    const time = control.clock.now() - this.#turnBegan;
    if (this.#left === 0 || time >= TIME_A_TURN) {
      this.#turnBegan = NEVER;
      control.yield();
    } else {
      this.#step = time < QUICK ? Math.min(2 * this.#step, LOOK_EACH) : 1;
    }
  }

  /** Says what is kept from here to the next call, if that has changed. */
  #weigh(control: SourceControl): void {
    const { buffered: pending, memory: buffered = pending } = this.#decoder;
    const carried = this.#isPaused ? this.bytes.length + buffered : buffered;
    const frames = this.#isPaused ? 1 : 0;
    if (carried === this.#reported && frames === this.#frames) return;
    const change = carried - this.#reported;
    const more = frames - this.#frames;
    this.#reported = carried;
    this.#frames = frames;
    control.reportBuffered(change, more);
  }

  /** Keeps the rest of the chunk, which the next read overwrites. What is held already is not copied again. */
  #retain(): void {
    if (this.#isPaused) return;
    this.bytes = copyOf(this.bytes, this.at, this.bytes.length);
    this.at = 0;
    this.#isPaused = true;
  }

  #forget(): void {
    this.bytes = NOTHING;
    this.at = 0;
    this.#isPaused = false;
  }

  /** All input is taken: the end, the drain, or the deadline of what is pending. */
  #settle(): void {
    const pending = this.#decoder.buffered > 0;
    if (this.#ended) this.#end(pending);
    else if (this.#draining && !pending) this.#to.complete();
    else if (pending) this.#armDeadline();
    else this.#begun = NEVER;
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
   * Completes, unless a frame or a transaction has begun: then the loop goes on to its end. A frame that is complete but
   * was never handed on has not begun, and neither has what lies behind it: that is dropped, whatever is in it.
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

  /** The deadline runs from the first byte: more bytes of the same frame find it running. */
  #armDeadline(): void {
    const pace = this.#control?.pace;
    const isJudged = pace !== undefined && pace.in > 0;
    if ((this.#timeout === NEVER && !isJudged) || this.#begun !== NEVER) return;
    this.#begun = this.#clock.now();
    this.#heldBefore = this.#control?.detainedFor ?? 0;
    if (isJudged) {
      this.#credit ??= new Credit(pace.in, pace.grace);
      this.#credit.begin(this.#begun);
    }
    this.#timer ??= new DeadlineTimer(this.#clock, this);
    this.#timer.set();
  }

  /** What is not read cannot end: the time for which the input is held back is not the frame's. */
  due(): number {
    const control = this.#control;
    const due = this.#begun + this.#timeout;
    if (control === undefined || this.#begun === NEVER) return due;
    return control.detained
      ? NEVER
      : Math.min(due, this.#credit?.until ?? NEVER) + control.detainedFor - this.#heldBefore;
  }

  forgive(lost: number): void {
    if (this.#begun !== NEVER) this.#credit?.forgive(this.#unheldNow(), lost);
  }

  expire(): void {
    const isLate = this.#begun + this.#timeout <= (this.#credit?.until ?? NEVER);
    this.#fail(
      isLate ? new DeadlineError('frame', this.#timeout) : new DeadlineError('pace', this.#control?.pace.grace ?? 0),
    );
  }

  /** Now, on a clock that stands still while the input is held back. */
  #unheldNow(): number {
    return this.#clock.now() - (this.#control?.detainedFor ?? 0) + this.#heldBefore;
  }

  #fail(error: unknown): void {
    const fault = isA(error, Error) ? error : new FrameInvalidError('the decoder failed', { cause: error });
    this.#control?.closeAs(fault);
    this.#to.error(fault);
  }

  /** Lets go of everything: the source may outlive us, and would keep what we hold. */
  release(): void {
    this.#timer?.clear();
    this.#begun = NEVER;
    this.#decoder = GONE;
    this.#forget();
    if (this.#control !== undefined) this.#weigh(this.#control);
  }
}
