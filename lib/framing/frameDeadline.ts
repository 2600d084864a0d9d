import type { SchedulerLike } from 'rxjs';
import { Credit } from '../connection/pace.ts';
import type { SourceControl } from '../connection/source.ts';
import { DeadlineError } from '../errors.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** Whether frames have a deadline at all: a limit of time, or a connection that sets a minimum pace. */
export const hasFrameDeadline = (timeout: number, control: SourceControl | undefined): boolean =>
  timeout !== NEVER || (control !== undefined && control.pace.in > 0);

/**
 * The deadline of a frame that has begun. A frame is late in two ways:
 *
 * - `frame`: more than `timeout` ms have passed since its first byte. Further bytes of the same frame do not push that back.
 * - `pace`: its bytes arrive more slowly than the minimum rate of the connection allows (see {@link Credit}).
 *
 * ```text
 * input            a---b------c--|        | ends the frame
 * begin            ^                      no timer is armed while frames arrive whole
 * input is paused    ====                 an unread frame cannot end: this time is not counted
 * frame is late    <---timeout + ====--->
 * ```
 *
 * Moments and times are milliseconds of one clock.
 */
export class FrameDeadline implements DeadlineOwner {
  readonly #timeout: number;
  readonly #clock: SchedulerLike;
  readonly #control: SourceControl | undefined;
  readonly #late: (error: DeadlineError) => void;
  readonly #timer: DeadlineTimer;
  /** Present if the connection sets a minimum pace. */
  readonly #credit: Credit | undefined;
  /** When the frame began; `NEVER` between two frames. */
  #begunAt = NEVER;
  /** For how long the input had been paused by then. */
  #pausedBefore = 0;

  /**
   * @param timeout From the first byte of a frame to its end. `Infinity` for no limit.
   * @param clock The clock of `timeout`.
   * @param control The connection behind the bytes, if there is one.
   * @param late Receives the error of a late frame.
   */
  constructor(
    timeout: number,
    clock: SchedulerLike,
    control: SourceControl | undefined,
    late: (error: DeadlineError) => void,
  ) {
    this.#timeout = timeout;
    this.#clock = clock;
    this.#control = control;
    this.#late = late;
    this.#timer = new DeadlineTimer(clock, this);
    if (control !== undefined && control.pace.in > 0) this.#credit = new Credit(control.pace.in, control.pace.grace);
  }

  /** A frame has begun and has not ended. If it had begun before, its deadline stands. */
  begin(): void {
    if (this.#begunAt !== NEVER) return;
    this.#begunAt = this.#clock.now();
    this.#pausedBefore = this.#control?.frameClockStoppedFor ?? 0;
    this.#credit?.begin(this.#begunAt);
    this.#timer.set();
  }

  /** Bytes arrive. If a frame has begun, they count for its pace. */
  earn(bytes: number): void {
    if (this.#begunAt !== NEVER && this.#credit) this.#credit.earn(this.#unpausedNow(), bytes);
  }

  /** The frame has ended. The timer stays: when it fires, nothing is due, or the deadline of a later frame. */
  end(): void {
    this.#begunAt = NEVER;
  }

  /** The input flows again: the clock of a frame that has begun goes on. */
  resume(): void {
    if (this.#begunAt !== NEVER) this.#timer.set();
  }

  /** Stops the timer. */
  clear(): void {
    this.#begunAt = NEVER;
    this.#timer.clear();
  }

  due(): number {
    const due = this.#begunAt + this.#timeout;
    const control = this.#control;
    if (control === undefined || this.#begunAt === NEVER) return due;
    if (control.isFrameClockStopped) return NEVER;
    return Math.min(due, this.#credit?.until ?? NEVER) + control.frameClockStoppedFor - this.#pausedBefore;
  }

  forgive(lost: number): void {
    if (this.#begunAt !== NEVER) this.#credit?.forgive(this.#unpausedNow(), lost);
  }

  expire(): void {
    const isOverTime = this.#begunAt + this.#timeout <= (this.#credit?.until ?? NEVER);
    const grace = this.#control?.pace.grace ?? 0;
    const error = isOverTime ? new DeadlineError('frame', this.#timeout) : new DeadlineError('pace', grace);
    if (this.#control) this.#control.inContext(() => this.#late(error));
    else this.#late(error);
  }

  /** Now, on a clock that stands still while the input is paused. */
  #unpausedNow(): number {
    return this.#clock.now() - (this.#control?.frameClockStoppedFor ?? 0) + this.#pausedBefore;
  }
}
