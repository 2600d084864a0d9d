import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Closed, ClosedEvent } from '../events.ts';

/**
 * The event of a connection that was served and is closed.
 *
 * Field by field: a spread of an object whose fields vary takes several times as long, and each connection has one such event.
 */
export function closedEvent({ id, peer }: SocketConnection, closed: Closed): ClosedEvent {
  const { reason, deadline, held, error, detail, bytesIn, bytesOut, unsent, dropped, paused, duration } = closed;
  const event = { type: 'closed' as const, id, peer, reason, bytesIn, bytesOut, unsent, dropped, paused, duration };
  if (error === undefined && detail === undefined) return event;
  return {
    ...event,
    ...(error !== undefined && { error }),
    ...(deadline !== undefined && { deadline }),
    ...(held !== undefined && { held }),
    ...(detail !== undefined && { detail }),
  };
}
