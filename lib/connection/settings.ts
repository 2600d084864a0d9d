import { AsyncResource } from 'node:async_hooks';
import type { SchedulerLike } from 'rxjs';
import { bytes, type Check, flag, having, milliseconds, object, oneOf, rate, timeLimit } from '../options.ts';
import { defaultClock } from '../time/monotonic.ts';
import { nodeTransport } from '../transport/node.ts';
import type { SocketOptions, Transport } from '../transport/transport.ts';
import { defaultBudget } from './defaultBudget.ts';
import type { InputContext } from './input.ts';
import { LivenessPoller } from './livenessPoller.ts';
import { MemoryBudget } from './memoryBudget.ts';
import type { OutputSettings } from './output.ts';
import { type Overrun, overruns } from './writeQueue.ts';

/** What all connections of one listener have in common. Times are in milliseconds; `Infinity` for no limit. */
export interface ConnectionSettings extends InputContext, OutputSettings {
  /** Whether a handler may go on sending after the peer's FIN. */
  readonly halfOpen: boolean;
  /** How long input is read and discarded after our FIN. */
  readonly linger: number;
  /** The async context of the call that began to listen. Work runs only in a child of it; otherwise what that work enters would stay. */
  readonly context: AsyncResource;
}

/** What `listen` and `connect` let one choose about a connection. Times are in milliseconds; `Infinity` for no limit. */
export interface ConnectionOptions {
  /**
   * Whether a connection stands after the peer's FIN, until its handler completes. With `false` the FIN means that the peer
   * is gone, and a handler that would go on sending, such as a `broadcast`, is unsubscribed. Then what was written is
   * flushed, our FIN follows, and the close reason is `ended`. Values that still wait in the `broadcast` are dropped.
   *
   * That happens when all bytes before the FIN have been handed on and nothing that the library can see is in progress.
   * It sees an `exchange` until that completes, the body of a `for await` loop over the input, a `relay`, and a
   * generator that is the handler: that finishes the value it is asked for, and is asked for no other.
   *
   * It does not see what other operators wait for, such as `mergeMap`, `concatMap` or `delay`, or what an async function awaits
   * outside of such a loop. Replies that come of that later are not sent. A handler that never reads its input does not
   * learn of a FIN behind bytes: merge `connection.pipe(ignoreElements())` into it.
   * @default true
   */
  readonly halfOpen?: boolean | undefined;
  /** How long to go on reading after our FIN, so that the last reply is not destroyed by a RST. @default 1000 */
  readonly linger?: number | undefined;
  /**
   * How long a peer may take nothing of what is written; then it is closed as `slow-consumer`. Where it is given, and `pace.out` is
   * not, it decides alone; else it may take up to six minutes over TCP, see `pace.out`. @default 10000
   */
  readonly stall?: number | undefined;
  /**
   * How slow a peer may be: one that takes what is written, or sends a frame that it has begun, at less than a minimum rate is
   * closed, as `deadline`, `pace`. Time in which we hold its input back does not count.
   */
  readonly pace?:
    | {
        /** Bytes a second that a peer has to send while a frame has begun; 0 for no minimum. @default 240 */
        readonly in?: number | undefined;
        /**
         * Bytes a second that a peer has to take while output is pending; 0 for no minimum. What the kernel holds may still be on its
         * way to the peer at that rate: for as long as this can be, up to six minutes, neither this nor `stall` closes it.
         * Where `stall` is given there is no minimum by default.
         * @default 240
         */
        readonly out?: number | undefined;
        /** Milliseconds for which it may be slower; for `out` no less than `stall`. @default 10000 */
        readonly grace?: number | undefined;
      }
    | undefined;
  /**
   * Unsent bytes of a connection at which its input pauses, and senders that can wait do. More than `maxOutbound` counts as
   * `maxOutbound`. @default 65536
   */
  readonly highWaterMark?: number | undefined;
  /** Unsent bytes of a connection at which `overrun` says what happens; for handlers that do not wait. @default 1048576 */
  readonly maxOutbound?: number | undefined;
  /**
   * What happens to a connection's output past `maxOutbound`: the peer is disconnected as `slow-consumer`, or the oldest
   * values that wait are dropped, or the new ones. @default 'disconnect'
   */
  readonly overrun?: Overrun | undefined;
  /**
   * Bytes that all connections may hold together, read and not worked off or written and not sent.
   *
   * Past it nothing more is read, and no work is begun on any connection, until three quarters of it are left: no frame is
   * handed on, no request begun, no generator asked. So at most the budget is held, an eighth of it, one reply for each
   * request in progress, and one read of at most 64 KiB for each connection that sends meanwhile. A spell of that lasts
   * about 10 s at most: connections that would hold memory longer are closed as `evicted`, parts of frames first, then those
   * that hold most and whose peers take least. A quarter past the budget that begins after 1 s instead of 3 s, and a server
   * refuses new connections as `budget` meanwhile. In a shortage that follows on an eviction it begins after half that time,
   * then a quarter. Deadlines of frames and of the output go on; see `paused.budget` for the time. Choose a budget well above
   * a few times `maxOutbound`.
   *
   * The default is worked out when the port is opened, from whichever is least.
   * @default a quarter of V8's heap limit, of a cgroup's memory, or of what is left of that
   */
  readonly budget?: number | undefined;
  /** Whether small writes leave at once (`TCP_NODELAY`). @default true */
  readonly noDelay?: boolean | undefined;
  /** Silence before the kernel probes whether the peer is there, or `false` to never do so. @default 60000 */
  readonly keepAlive?: number | false | undefined;
  /** The network. @default node:net */
  readonly transport?: Transport | undefined;
  /** The clock. @default monotonic */
  readonly scheduler?: SchedulerLike | undefined;
}

/** @internal All of them but `transport`, of which each asks something else. */
export const connectionChecks: Record<string, Check> = {
  halfOpen: flag,
  linger: milliseconds,
  stall: timeLimit,
  pace: object({ in: rate, out: rate, grace: timeLimit }),
  highWaterMark: bytes,
  maxOutbound: bytes,
  overrun: oneOf(...overruns),
  budget: bytes,
  noDelay: flag,
  keepAlive: (value) => (value === false ? undefined : milliseconds(value)),
  scheduler: having('a SchedulerLike', 'now', 'schedule'),
};

/** @internal What connections made with these options have in common. */
export function settings(options: ConnectionOptions): ConnectionSettings {
  const { linger = 1000, stall = 10_000, highWaterMark = 64 * 1024, maxOutbound = 1024 * 1024 } = options;
  // A `stall` that is given decides alone, because the allowance of `pace.out` would overrule it.
  const { pace: { in: least = 240, out = options.stall === undefined ? 240 : 0, grace = 10_000 } = {} } = options;
  const { overrun = 'disconnect', budget = defaultBudget(), scheduler = defaultClock(), halfOpen = true } = options;
  // Who waits for room is to have it before there is too much.
  const output = { highWaterMark: Math.min(highWaterMark, maxOutbound), maxOutbound, overrun };
  return {
    clock: scheduler,
    halfOpen,
    linger,
    stall,
    pace: { in: least, out, grace },
    ...output,
    budget: new MemoryBudget(budget),
    livenessPoller: new LivenessPoller(),
    context: new AsyncResource('Sluice'),
  };
}

/** @internal The network, and what it is to be told of each socket. */
export function transportOptions(options: ConnectionOptions): { readonly transport: Transport } & SocketOptions {
  const { transport = nodeTransport, noDelay = true, keepAlive = 60_000 } = options;
  return { transport, noDelay, keepAlive };
}
