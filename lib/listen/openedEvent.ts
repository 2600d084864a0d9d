import type { SocketConnection } from '../connection/socketConnection.ts';
import type { OpenedEvent } from '../events.ts';

/** The event of a connection that was taken. */
export function openedEvent({ id, peer, waited, via, security, handshake }: SocketConnection): OpenedEvent {
  return {
    type: 'opened',
    id,
    peer,
    waited,
    ...(via && { via }),
    ...(security && { security }),
    ...(handshake !== undefined && { handshake }),
  };
}
