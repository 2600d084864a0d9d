import { spawn } from 'node:child_process';
import type { Observer } from 'rxjs';
import type { ServerEvent } from '../../lib/index.ts';

/** Settings of {@link notifySystemd}. */
export interface NotifyOptions {
  /**
   * Milliseconds that a drain takes at most. systemd then waits for as long, also where `TimeoutStopSec` is less.
   * @default not told, so that `TimeoutStopSec` decides
   */
  readonly stopWithin?: number;
}

/** Messages of the watchdog in the time after which systemd ends the service. Two of them may be late or lost. */
const BEATS = 3;

/**
 * Tells systemd about a server, by the protocol of sd_notify(3): an observer of its events.
 *
 * ```text
 * events    ---listening----------------draining----drained|
 * messages  ---READY=1------------------STOPPING=1----------
 *           ------WATCHDOG=1--WATCHDOG=1-----WATCHDOG=1-----
 * ```
 *
 * The watchdog tells the truth: a timer of the event loop sends each message, from `listening` until the stream ends. So systemd
 * restarts a server whose event loop is blocked, and one that no longer listens although its process runs.
 *
 * Node has no datagram sockets of the unix family. So each message is sent by `systemd-notify`, which is wherever systemd is, needs no
 * compiler, and waits until systemd has read the message. The unit needs `NotifyAccess=all`, because the sender is another process.
 *
 * Without `NOTIFY_SOCKET` in the environment it does nothing. It never throws, and never keeps the process alive. If a message
 * cannot be sent, Node prints one warning.
 */
export function notifySystemd({ stopWithin }: NotifyOptions = {}): Observer<ServerEvent> {
  if (!process.env.NOTIFY_SOCKET) return { next() {}, error() {}, complete() {} };
  const sender = new Sender();
  let watchdog: NodeJS.Timeout | undefined;
  const end = () => clearInterval(watchdog);
  return {
    next(event) {
      if (event.type === 'listening') {
        sender.send('READY=1', 'STATUS=listening');
        const interval = watchdogInterval(process.env, process.pid);
        // A stream that is repeated or retried begins anew, with a second `listening`.
        end();
        if (interval !== undefined) watchdog = setInterval(() => sender.beat(), interval).unref();
      }
      if (event.type === 'draining') {
        const status = `STATUS=draining: ${event.active} active, ${event.waiting} waiting`;
        // In microseconds.
        const extension = stopWithin === undefined ? [] : [`EXTEND_TIMEOUT_USEC=${Math.ceil(stopWithin * 1000)}`];
        sender.send('STOPPING=1', status, ...extension);
      }
    },
    error: end,
    complete: end,
  };
}

/** @returns Milliseconds between two messages of the watchdog; `undefined` if systemd expects none from this process. */
export function watchdogInterval(env: Readonly<NodeJS.ProcessEnv>, pid: number): number | undefined {
  const { WATCHDOG_USEC = '', WATCHDOG_PID } = env;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== `${pid}`) return undefined;
  if (!/^[1-9]\d*$/.test(WATCHDOG_USEC)) return undefined;
  // Node takes a longer delay for one of 1 ms.
  return Math.min(Number(WATCHDOG_USEC) / 1000 / BEATS, 2 ** 31 - 1);
}

/** Sends messages, each by a process of its own. */
class Sender {
  #running = 0;
  #hasWarned = false;

  /**
   * Sends a message at once, whatever else is on its way: the process may end in the same event-loop iteration as a drain begins. Its
   * child goes on.
   */
  send(...assignments: string[]): void {
    this.#running++;
    try {
      const child = spawn('systemd-notify', assignments, { stdio: 'ignore' });
      child.on('error', (error) => this.#sent(error.message));
      child.on('exit', (code) => this.#sent(code === 0 ? undefined : `systemd-notify ended with ${code}`));
      child.unref();
    } catch (error) {
      // Some failures of spawn, such as ENOMEM, are thrown.
      this.#sent(String(error));
    }
  }

  /** Sends a message of the watchdog, unless another message is on its way: where the program hangs, there are no more of it. */
  beat(): void {
    if (this.#running === 0) this.send('WATCHDOG=1');
  }

  #sent(failure: string | undefined): void {
    this.#running--;
    if (failure === undefined || this.#hasWarned) return;
    this.#hasWarned = true;
    process.emitWarning(`systemd cannot be notified: ${failure}`);
  }
}
