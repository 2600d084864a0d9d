import type { SocketConnection } from '../connection/socketConnection.ts';
import type { OpenedEvent } from '../events.ts';

/** The event of a connection that was taken. Most have neither come through a proxy nor been secured. */
export function openedEvent({ id, peer, waited, via, security, handshake }: SocketConnection): OpenedEvent {
  const event = { type: 'opened' as const, id, peer, waited };
  if (via === undefined && security === undefined) return event;
  return {
    ...event,
    ...(via && { via }),
    ...(security && { security }),
    ...(handshake !== undefined && { handshake }),
  };
}
