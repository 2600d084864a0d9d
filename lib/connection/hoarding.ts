import type { SchedulerLike } from 'rxjs';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

/** What a watch reads from its connection, and calls on it. */
export interface HoardingOwner {
  readonly clock: SchedulerLike;
  /** Frames that were handed out. */
  readonly frames: number;
  /** Values that the handler has written. */
  readonly replies: number;
  /** Those among them that it wrote later than in the call that handed out a frame. */
  readonly late: number;
  /** Whether what is not answered says nothing: the connection has ended, or something bounds the work or sends other values. */
  readonly isUnmeasured: boolean;
  pauseInput(): void;
  resumeInput(): void;
  /** The handler keeps frames. @param frames How many are not answered. */
  hoards(frames: number): void;
}

/** So many more unanswered frames make a connection worth a look. Fewer are common: a batch, or all requests of a fast client. */
export const SUSPICIOUS = 512;

/** They have to come within so many milliseconds. A protocol that does not answer each frame gathers them over days. */
const FAST = 1000;

/** Milliseconds between two looks at a connection that is watched. */
const POLL = 50;

/** For so many milliseconds a late reply is waited for. Without one there is nothing to test. */
const WATCH = 1000;

/** The input is paused for so many milliseconds at most, and for so many if no reply that counts comes meanwhile. */
const LONGEST_TEST = 600;
const SILENT_TEST = 300;

/** Replies in so many first milliseconds of a test do not count: those of a handler that works on many frames, and keeps up. */
const IN_PROGRESS = 100;

/**
 * So many replies without a new frame are evidence. One or two are what is left of a batch, or the end of what `exhaustMap` works on.
 */
const EVIDENCE = 3;

/** After a test without evidence, milliseconds until the next one: each time ten times as many. */
const FIRST_RETRY = 1000;

/**
 * Finds out whether a handler keeps frames in an operator without a bound, such as `concatMap` or `delay`.
 *
 * That cannot be seen, and frames without a reply prove nothing: many protocols do not answer each frame. So it is tested. The input
 * is paused for a moment. A handler that keeps frames goes on to reply; one that has dropped them, or has answered a thousand of
 * them at once, does not.
 *
 * ```text
 * frames    #########............####      a thousand within a second, and few replies
 * input     =========            ====      paused
 * concatMap ----r----r----r----r----r      replies go on: it hoards
 * ingest    ---------a                     the last acknowledgement, and then nothing
 * ```
 *
 * | stage    | leaves it on                                                                                        |
 * |----------|-----------------------------------------------------------------------------------------------------|
 * | unwatched | twice {@link SUSPICIOUS} unanswered frames within a second ─▶ watched                              |
 * | watched  | a late reply ─▶ tested · nothing for a second ─▶ unwatched                                          |
 * | tested   | three replies that count, and many frames without one ─▶ it hoards · the time is over ─▶ unwatched  |
 *
 * It exists from the first suspicion on; most connections never have one.
 */
export class Hoarding implements DeadlineOwner {
  readonly #owner: HoardingOwner;
  readonly #timer: DeadlineTimer;
  /** How many unanswered frames make it look again, and when it last did. */
  #lookAt = SUSPICIOUS;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #retry = FIRST_RETRY;
  /** No test before this moment. */
  #notBefore = Number.NEGATIVE_INFINITY;
  /** It was named, and has not caught up since. */
  #isNamed = false;
  /** How many frames had been handed out at the last call of `look`. */
  #seen = 0;
  /** When the watch, or the test, ends; `undefined` while there is none. */
  #until: number | undefined;
  #pollAt = Number.POSITIVE_INFINITY;
  /** When the test began. */
  #testedAt: number | undefined;
  /** Late replies when the watch began, or when those that count did. */
  #lateBefore = 0;

  constructor(owner: HoardingOwner) {
    this.#owner = owner;
    this.#timer = new DeadlineTimer(owner.clock, this);
  }

  /** Frames were handed out, and many are not answered. */
  look(unanswered: number): void {
    const { clock, frames, replies, isUnmeasured } = this.#owner;
    if (this.#seen - replies <= SUSPICIOUS) this.#isNamed = false;
    this.#seen = frames;
    if (this.#until !== undefined || this.#isEarly(unanswered)) return;
    const now = clock.now();
    const isFast = now - this.#lookedAt <= FAST;
    this.#lookedAt = now;
    if (!isFast || isUnmeasured || now < this.#notBefore || this.#isNamed) return;
    this.#begin(now, WATCH);
  }

  /** Whether too few frames have come since the last look. Where some were answered meanwhile, they are counted from there. */
  #isEarly(unanswered: number): boolean {
    const isEarly = unanswered < this.#lookAt;
    this.#lookAt = isEarly ? Math.min(this.#lookAt, unanswered + SUSPICIOUS) : unanswered + SUSPICIOUS;
    return isEarly;
  }

  due(): number {
    return this.#pollAt;
  }

  expire(): void {
    if (this.#until === undefined) return;
    const { clock, frames, replies, isUnmeasured } = this.#owner;
    const now = clock.now();
    if (isUnmeasured || frames - replies < SUSPICIOUS) this.#end(now);
    else if (this.#testedAt === undefined) this.#watch(now, this.#until);
    else this.#test(now, this.#until, now - this.#testedAt);
  }

  #watch(now: number, until: number): void {
    if (this.#owner.late > this.#lateBefore) {
      this.#testedAt = now;
      this.#begin(now, LONGEST_TEST);
      this.#owner.pauseInput();
    } else if (now >= until) {
      this.#end(now);
    } else {
      this.#poll(now);
    }
  }

  /** @param time Milliseconds since the input was paused. */
  #test(now: number, until: number, time: number): void {
    const { late, frames, replies } = this.#owner;
    if (time <= IN_PROGRESS) this.#lateBefore = late;
    const count = late - this.#lateBefore;
    if (count >= EVIDENCE) {
      this.#isNamed = true;
      this.#retry = FIRST_RETRY;
      this.#end(now);
      this.#owner.hoards(frames - replies);
    } else if (now >= until || (count === 0 && time >= SILENT_TEST)) {
      this.#end(now);
    } else {
      this.#poll(now);
    }
  }

  #begin(now: number, time: number): void {
    this.#until = now + time;
    this.#lateBefore = this.#owner.late;
    this.#poll(now);
  }

  #poll(now: number): void {
    this.#pollAt = now + POLL;
    this.#timer.set();
  }

  #end(now: number): void {
    this.#until = undefined;
    this.#pollAt = Number.POSITIVE_INFINITY;
    this.#notBefore = now + this.#retry;
    this.#retry *= 10;
    if (this.#testedAt === undefined) return;
    this.#testedAt = undefined;
    this.#owner.resumeInput();
  }
}
