import type { ConnectionClosedError } from '../errors.ts';
import type { Closed, CloseReason } from '../events.ts';
import { checkArgument, text } from '../options.ts';
import { endOfCallback } from '../time/eventLoop.ts';
import { closeReasonOf } from './closing.ts';
import { ObservedConnection } from './observedConnection.ts';
import { Phase } from './phase.ts';
import { hasStack, onEmptyStack } from './stack.ts';
import type { Usage } from './usage.ts';
import type { Data } from './writeQueue.ts';

const checkDetail = (what: string, detail: string | undefined) => {
  if (detail !== undefined) checkArgument(`${what} a connection`, 'detail', detail, text);
};

export const resetByPeer = () => new Error('the peer has reset the connection');

/**
 * How a connection ends: in good order, or at once; and for which reason.
 *
 * | call        | by                                    | reason                            | on the wire                     |
 * |-------------|---------------------------------------|-----------------------------------|---------------------------------|
 * | `end`       | the handler, or the end of its output | `completed`, `ended` or `drained` | what is queued, FIN, linger     |
 * | `fail`      | the handler, with an error            | `failed`                          | what is queued, FIN, linger     |
 * | `crashed`   | a teardown that throws                | `failed`                          | what is queued, FIN, linger     |
 * | `evict`     | a full server, for a new connection   | `evicted`                         | what is queued, FIN, linger     |
 * | `abort`     | the user, a drain after its grace     | `aborted`                         | RST                             |
 * | `abortWith` | a limit: `stall`, `pace`, the budget  | that of the error                 | RST                             |
 * | `destroy`   | the watchdog                          | the one it has                    | RST; after our FIN, nothing     |
 * | `dismiss`   | the listener, for a refusal           | none: `refused`                   | a farewell, FIN, a short linger |
 * | `lose`      | a RST of the peer that was not read   | `reset`                           | nothing                         |
 *
 * `closeAs` and `closeAsFailed` set the reason only. Three steps are common to all ways. First the state changes, and the
 * deadline of the next step is armed. Then the socket is ended, reset or closed. User code is called last, because it may throw,
 * recurse, or end the connection again.
 */
export abstract class ClosableConnection extends ObservedConnection {
  abstract readonly usage: Usage;

  /** It is detached: releases what it holds, and ends what it has begun. */
  protected abstract release(): void;

  /** It was asked to finish. */
  protected abstract reportDraining(): void;

  /** It is closed, and recorded. */
  protected abstract reportClosed(closed: Closed): void;

  /** Whether it is at a frame boundary, with nothing to do for its peer and nothing to send. */
  get isAtRest(): boolean {
    return !this.over && !this.usage.busy && this.input.weight === 0 && this.output.queue.unsent === 0;
  }

  /** Calls user code, which may throw in a teardown: that is this connection's fault, and not that of what is called next. */
  call(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.crashed(error);
    }
  }

  // The end, in good order ----------------------------------------------------------------------------------------------

  end(detail?: string): void {
    checkDetail('end', detail);
    if (this.over) return;
    if (hasStack('end')) this.endNow(detail);
    else onEmptyStack(() => this.end(detail));
  }

  /** As `end`, for a caller that has checked the stack. */
  endNow(detail?: string): void {
    if (this.over) return;
    this.#enterEnding();
    this.closing.explain(detail);
    this.closing.set(this.isDraining ? 'drained' : this.input.peerEnded ? 'ended' : 'completed');
    this.inContext(this.#finishOutput);
    // A waiting connection that is ended is not wanted.
    this.refuse(detail);
  }

  halfClose(): void {
    if (this.over || this.output.queue.ended) return;
    if (!hasStack('halfClose')) return onEmptyStack(() => this.halfClose());
    this.output.end();
  }

  drain(detail?: string): void {
    checkDetail('drain', detail);
    if (this.isDraining || this.over) return;
    if (!hasStack('drain')) return onEmptyStack(() => this.drain(detail));
    if (detail !== undefined) this.closing.explain(detail);
    this.setDraining();
    this.inContext(this.#finishInput);
  }

  /** Its place is for another connection: asks it to finish within so many milliseconds, and within the grace of the server. */
  evict(within: number): void {
    this.closing.set('evicted');
    this.watchdog.destroyWithin(Math.min(within, this.watchdog.deadlines.grace));
    this.watchdog.set();
    this.drain();
  }

  /**
   * Closes it unserved.
   *
   * @param farewell Sent before our FIN.
   * @param linger Milliseconds for which input is read and discarded after our FIN; 0 closes at once, without a farewell.
   */
  dismiss(farewell: Data | undefined, linger: number): void {
    if (this.over) return;
    if (linger === 0) return this.close();
    const { queue } = this.output;
    if (farewell !== undefined) queue.push(farewell);
    this.#enterEnding();
    this.watchdog.destroyWithin(linger);
    this.watchdog.set();
    queue.end();
    this.input.discard();
  }

  #enterEnding(): void {
    this.enter('ended');
    if (this.output.queue.finished) this.enter('flushed');
  }

  #finishInput(): void {
    this.reportDraining();
    this.notifyObservers();
    this.input.drain();
  }

  #finishOutput(): void {
    if (this.isDraining) this.#sendLastCall();
    // That may have aborted it.
    if (this.isDetached) return;
    // The FIN is queued, and the stall deadline before it armed, before user code runs.
    this.output.end();
    if (this.output.queue.finished) {
      // It was half-closed. It lingers a microtask later, because what ends it may have an error to report.
      endOfCallback(this.clock, () => !this.isDetached && this.linger());
    }
    this.input.complete();
    this.usage.sender?.stop();
    if (!this.isDetached) this.input.discard();
  }

  /** Nothing is written from now on, so this is behind all replies. It is not sent if more is unsent than may be. */
  #sendLastCall(): void {
    const { queue } = this.output;
    if (queue.ended || queue.failed || !this.closing.hasFinished) return;
    const last = this.usage.sender?.lastCall?.();
    if (last !== undefined && !this.isDetached) queue.push(last);
  }

  /** All is sent, our FIN included: waits for the peer's. */
  protected linger(): void {
    this.watchdog.destroyWithin(this.settings.linger);
    // The timer is armed before user code is called, which may throw. After both FINs there is no linger: the socket is closed
    // by itself; and if it is not, a timer that is armed already finds it.
    if (!this.input.peerEnded) this.watchdog.set();
    this.#flushed();
  }

  // The end, at once --------------------------------------------------------------------------------------------------

  abort(detail?: string): void {
    checkDetail('abort', detail);
    if (this.isDetached && this.taken) return;
    if (!hasStack('abort')) return onEmptyStack(() => this.abort(detail));
    if (!this.isDetached) this.closing.explain(detail);
    this.abortAs('aborted');
    this.destroy();
    this.refuse(detail);
  }

  abortWith(error: Error): void {
    if (this.isDetached) return;
    if (!hasStack('abortWith')) return onEmptyStack(() => this.abortWith(error));
    this.abortAs(closeReasonOf(error), error);
    this.destroy();
  }

  /** The handler failed. */
  fail(error: unknown): void {
    if (!hasStack('fail')) return onEmptyStack(() => this.fail(error));
    this.closeAsFailed(error);
    this.endNow();
  }

  /** User code threw where RxJS does not catch it, in a teardown. That ends this connection, and no other. */
  crashed(error: unknown): void {
    this.inContext(() => {
      const { sender } = this.usage;
      if (sender) sender.fail(error);
      else this.fail(error);
    });
  }

  destroy(): void {
    if (this.isDetached) return;
    const isLingering = this.phase === Phase.lingering;
    try {
      this.#reset(isLingering);
    } catch {
      // There was not enough stack. Each step may be done twice.
      onEmptyStack(() => this.#reset(isLingering));
    }
  }

  #reset(isLingering: boolean): void {
    this.#detach();
    // The socket is closed before user code is called: once it is freed, whatever is left undone here is done.
    // After our FIN, it is closed without a RST: that would tell the peer nothing and could discard data that it has not read.
    if (!this.isSocketClosed) {
      if (isLingering) this.socket.destroy();
      else this.socket.reset();
    }
    this.#notifyAll();
    if (this.isSocketClosed) this.freed();
  }

  /** Closes it at once, without a RST. */
  close(): void {
    this.stop();
    this.socket.destroy();
  }

  /** The peer has reset the connection, and nothing it sent is to be read. */
  protected lose(): void {
    this.abortAs('reset', resetByPeer());
    this.close();
  }

  // The reason --------------------------------------------------------------------------------------------------------

  closeAs(error: unknown): void {
    this.closing.inputError = error;
    this.closing.set(closeReasonOf(error), error);
  }

  /**
   * Whatever the error: one of another connection, or one that only looks like an error of this input, is the handler's fault.
   */
  closeAsFailed(error: unknown): void {
    this.closing.hasFailed = true;
    this.closing.set('failed', error);
  }

  /** Whether an error is what is wrong with the connection's own input, and not a failure of the handler. */
  isInputError(error: unknown): boolean {
    return error !== undefined && error === this.closing.inputError;
  }

  closedError(): ConnectionClosedError {
    return this.closing.errorFor(this.id, this.isDetached ? 'aborted' : 'half-closed');
  }

  protected abortAs(reason: CloseReason, error?: unknown): void {
    if (!this.isDetached) this.closing.abort(reason, error, this.output.queue.finished);
  }

  // Detached and closed ------------------------------------------------------------------------------------------------

  /** Stops the handler, within this call. */
  protected stop(): void {
    if (this.isDetached) return;
    this.#detach();
    this.#notifyAll();
  }

  /** The socket is closed. */
  freed(): void {
    if (this.isClosed) return;
    this.isSocketClosed = true;
    // Both sides have sent a FIN, but the end of the input is still retained for a paused handler.
    if ((this.input.endRetained || this.input.holdsFrames) && !this.isDetached) return;
    this.closing.set(this.input.peerEnded ? 'ended' : 'aborted');
    this.watchdog.clear();
    if (!this.isDetached) this.#detach();
    this.inContext(this.#finish);
  }

  #detach(): void {
    this.keepFigures();
    this.enter('detached');
    this.output.queue.drop();
    this.release();
    const { closing } = this;
    closing.lastReader = this.input.leave() ?? closing.lastReader;
    closing.mustNotify = true;
  }

  /** Notifies all that take part. If that is interrupted, it is done again, at the latest when the socket is closed. */
  #notifyAll(): void {
    this.inContext(this.#notify);
  }

  #notify(): void {
    this.usage.sender?.stop();
    this.#flushed();
    const { closing } = this;
    const sink = closing.lastReader;
    closing.lastReader = undefined;
    if (sink) this.call(() => sink.error(this.closedError()));
    this.output.roomMade();
    closing.mustNotify = false;
  }

  #finish(): void {
    if (this.closing.mustNotify) this.#notifyAll();
    const closed = this.recordClose();
    this.reportClosed(closed);
    try {
      this.usage.sender?.freed();
    } catch (error) {
      this.crashed(error);
    }
    this.notifyObservers();
  }

  #flushed(): void {
    try {
      this.usage.sender?.flushed();
    } catch (error) {
      this.crashed(error);
    }
  }
}
