import type { SocketConnection } from '../connection/socketConnection.ts';
import type { LiveSet } from '../events.ts';
import type { Rehearsal } from '../table.ts';

/** Milliseconds after the grace in which the sockets of aborted connections may still close. Then the drain ends without them. */
export const LAST_CLOSES = 100;

/** Milliseconds for which the port stays open at most because connections keep arriving, if the grace is not shorter. */
export const LAST_ACCEPTS = 1000;

/** How a server drains. Times are in milliseconds. */
export interface DrainPlan {
  /** To go on accepting after the signal. */
  readonly announce: number;
  /** That connections have to finish, from when the port is closed. */
  readonly grace: number;
  /** Over which the connections are asked to finish. */
  readonly spread: number;
}

/** The share of the grace over which connections can be asked to finish. The last ones need the rest for that. */
const SPREAD_SHARE = 0.9;

/** The milliseconds over which the connections are asked, one by one. */
export const spreadWithin = ({ spread, grace }: Pick<DrainPlan, 'spread' | 'grace'>): number =>
  Math.min(spread, SPREAD_SHARE * grace);

/** Whether a drain asks a connection to finish: it has not been asked, and has not ended. */
export const isToBeAsked = ({ isDraining, over }: SocketConnection): boolean => !isDraining && !over;

/** What a drain of these connections would do now. See {@link Rehearsal}, which says what the estimate is made of. */
export function rehearse(connections: LiveSet<SocketConnection>, plan: DrainPlan): Rehearsal {
  const { announce, grace } = plan;
  const toBeAsked = [...connections].filter(isToBeAsked).length;
  const step = spreadWithin(plan) / toBeAsked;
  let asked = 0;
  const counts = { idle: 0, busy: 0, aborted: 0 };
  let unsent = 0;
  /** When the last one ends, from when the port is closed. */
  let last = 0;
  for (const connection of connections) {
    const now = connection.clock.now();
    const needs = timeForWork(connection, now);
    const { stalledAt = Number.POSITIVE_INFINITY, tooSlowAt = stalledAt } = connection.output.progress ?? {};
    const given = Math.min(stalledAt, tooSlowAt) - now;
    // The work goes on while the port is still open.
    const done = Math.max(0, Math.min(needs, given) - announce);
    const end = isToBeAsked(connection) ? Math.max(done, step * asked++) : done;
    if (needs === 0) counts.idle++;
    else if (end <= grace) counts.busy++;
    else counts.aborted++;
    if (needs > given || end > grace) unsent += connection.unsent;
    last = Math.max(last, Math.min(end, grace));
  }
  const duration = Math.round(announce + last);
  return { ...counts, unsent, duration, longest: announce + Math.min(LAST_ACCEPTS, grace) + grace + LAST_CLOSES };
}

/** Milliseconds that a connection needs for what is in progress; 0 if it is idle at a frame boundary. */
function timeForWork(connection: SocketConnection, now: number): number {
  const { unsent, output, input, watchdog } = connection;
  const sending = unsent > 0 ? (output.progress?.timeFor(unsent, now, output.bytesOut) ?? 0) : 0;
  const isWorking = connection.busy || input.weight > 0;
  // At least a millisecond, because the last byte may have come in this one.
  const working = isWorking ? Math.max(1, now - watchdog.lastActivity) : 0;
  return Math.max(sending, working);
}
