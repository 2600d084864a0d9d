import { HandleSocket } from '../transport/handleSocket.ts';
import type { TransportSocket } from '../transport/transport.ts';
import { HandshakeSocket } from './handshakeSocket.ts';
import { type SecuredSocket, SecureSocket } from './secureSocket.ts';
import type { TlsSide } from './tlsSide.ts';

/**
 * Begins a handshake.
 *
 * @param before The socket of the connection so far. From then on it does nothing.
 * @param hello What was read from it; nothing on the side of a client.
 * @param onSecured Called once, when the handshake is complete, with the socket to use from then on, whose handler must be set
 *   within the call. If the handshake fails, the handler is notified of that.
 * @returns The socket during the handshake.
 */
export function secure(
  side: TlsSide,
  before: TransportSocket,
  hello: Uint8Array,
  onSecured: (socket: SecuredSocket) => void,
): TransportSocket {
  if (side.bare && before instanceof HandleSocket) return new HandshakeSocket(side.bare, before, hello, onSecured);
  if (before.detach === undefined) throw new TypeError('the transport has no TLS');
  before.pause();
  const raw = before.detach();
  if (hello.length > 0) raw.unshift(hello);
  return new SecureSocket(side, raw, before, onSecured);
}
