import { AsyncResource } from 'node:async_hooks';
import type { SchedulerLike } from 'rxjs';
import { bytes, type Check, flag, milliseconds, object, oneOf, rate, schedulerLike, timeLimit } from '../options.ts';
import { defaultClock } from '../time/monotonic.ts';
import { HandshakeQueue } from '../tls/handshakeQueue.ts';
import { HANDSHAKE, serverUpgrades, type Upgrades } from '../tls/upgrades.ts';
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
  /**
   * The async context of the call that began to listen. Work runs only in a child of it; otherwise what that work enters would
   * stay.
   */
  readonly context: AsyncResource;
  /** How connections are secured in the middle of a conversation. */
  readonly upgrades: Upgrades;
}

/** Options of a connection, for `listen`, `serve` and `connect`. Times are in milliseconds; `Infinity` for no limit. */
export interface ConnectionOptions {
  /**
   * Whether a connection stays open after the peer's FIN, until its handler completes. With `false` the FIN means that the peer
   * does not read any more: a handler that would go on sending, such as a `broadcast`, is unsubscribed, and the connection ends.
   *
   * That happens when all bytes before the FIN have been passed on and no work is in progress that the library can see. It sees
   * an `exchange` until that completes, the body of a `for await` loop over the input, a `relay`, and a generator that is the
   * handler: such a generator finishes the value that it was asked for, and is not asked for another.
   *
   * It does not see what other operators wait for, such as `mergeMap`, `concatMap` or `delay`, or what an async function awaits
   * outside of such a loop. Replies that result from that later are not sent. A handler that never reads its input is not
   * notified of a FIN behind bytes: merge `connection.pipe(ignoreElements())` into it.
   * @default true
   */
  readonly halfOpen?: boolean | undefined;
  /** Milliseconds in which input is read and discarded after our FIN, so that no RST destroys the last reply. @default 1000 */
  readonly linger?: number | undefined;
  /**
   * Milliseconds for which a peer may take nothing of what is written; then it is closed as `slow-consumer`. If `stall` is given and `pace.out`
   * is not, `stall` decides alone. Otherwise it may take up to six minutes over TCP, see `pace.out`. @default 10000
   */
  readonly stall?: number | undefined;
  /**
   * How slow a peer may be. A peer that takes pending output, or sends a frame that it has begun, at less than a minimum rate is
   * closed as `deadline`, `pace`. Time in which the library pauses its input does not count.
   */
  readonly pace?:
    | {
        /** Bytes per second that a peer must send while a frame has begun; 0 for no minimum. @default 240 */
        readonly in?: number | undefined;
        /**
         * Bytes per second that a peer must take while output is pending; 0 for no minimum. Bytes in the kernel's buffers may
         * still be on their way to the peer at that rate. While that is possible, for up to six minutes, neither this minimum nor
         * `stall` closes the connection. If `stall` is given there is no minimum by default.
         * @default 240
         */
        readonly out?: number | undefined;
        /** Milliseconds for which it may be slower; for `out` no less than `stall`. @default 10000 */
        readonly grace?: number | undefined;
      }
    | undefined;
  /**
   * Unsent bytes of a connection above which its input is paused, and senders that can wait do. A value above `maxOutbound`
   * counts as `maxOutbound`. @default 65536
   */
  readonly highWaterMark?: number | undefined;
  /** Unsent bytes of a connection above which `overrun` applies; for handlers that do not wait. @default 1048576 */
  readonly maxOutbound?: number | undefined;
  /**
   * What happens to output above `maxOutbound`: the peer is disconnected as `slow-consumer`, or the oldest queued values are
   * dropped, or the new ones. @default 'disconnect'
   */
  readonly overrun?: Overrun | undefined;
  /**
   * Bytes that all connections may hold together: read and not yet processed, or written and not yet sent.
   *
   * Above it nothing more is read and no work begins on any connection, until three quarters of it are held: no frame is passed
   * on, no request begins, no generator is asked. So the total is at most the budget, an eighth of it, one reply per request in
   * progress, and one read of at most 64 KiB per connection that sends meanwhile. Such a shortage lasts about 10 s at most:
   * connections that would hold memory longer are closed as `evicted`. Incomplete frames are evicted first, then the connections
   * that hold most and whose peers take least. Evictions begin after 3 s, or after 1 s above 125 % of the budget; above that a
   * server also refuses new connections as `budget`. In a shortage that follows an eviction they begin after half that time, then
   * a quarter. Deadlines of frames and of the output continue to run; `paused.budget` reports the time. Choose a budget well
   * above a few times `maxOutbound`.
   *
   * The default is computed when the port is opened.
   * @default a quarter of the least of V8's heap limit, a cgroup's memory, and what is left of that
   */
  readonly budget?: number | undefined;
  /** Whether small writes are sent at once (`TCP_NODELAY`). @default true */
  readonly noDelay?: boolean | undefined;
  /** Milliseconds of silence before the kernel probes whether the peer is there, or `false` for no probes. @default 60000 */
  readonly keepAlive?: number | false | undefined;
  /** The network; `netTransport` keeps to the documented interface of Node. @default nodeTransport */
  readonly transport?: Transport | undefined;
  /** The clock. @default monotonic */
  readonly scheduler?: SchedulerLike | undefined;
}

/** The checks of all of them but `transport`: what that must have depends on the function. */
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
  scheduler: schedulerLike,
};

/**
 * What all connections with these options have in common.
 *
 * @param upgrades Those of a server by default.
 */
export function settings(options: ConnectionOptions, upgrades?: Upgrades): ConnectionSettings {
  const { linger = 1000, stall = 10_000, highWaterMark = 64 * 1024, maxOutbound = 1024 * 1024 } = options;
  // A `stall` that is given decides alone, because the allowance of `pace.out` would overrule it.
  const { pace: { in: least = 240, out = options.stall === undefined ? 240 : 0, grace = 10_000 } = {} } = options;
  const { overrun = 'disconnect', budget = defaultBudget(), scheduler = defaultClock(), halfOpen = true } = options;
  // A sender that waits for room must have some before `overrun` applies.
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
    upgrades: upgrades ?? serverUpgrades(new HandshakeQueue(scheduler), HANDSHAKE),
  };
}

/** The network, and the options of each socket. */
export function transportOptions(options: ConnectionOptions): { readonly transport: Transport } & SocketOptions {
  const { transport = nodeTransport, noDelay = true, keepAlive = 60_000 } = options;
  return { transport, noDelay, keepAlive };
}
