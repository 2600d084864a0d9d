import type { Transport, TransportSocket } from '../../lib/transport/transport.ts';

/**
 * A transport whose ports do something with each socket that they accept.
 *
 * @param accepted Called with each socket, and with the function that passes a socket on to the server.
 */
export function accepting(
  transport: Transport,
  accepted: (socket: TransportSocket, accept: (socket: TransportSocket) => void) => void,
): Transport {
  return {
    ...transport,
    listen: (where, options, handler) =>
      transport.listen(where, options, {
        listening: (address) => handler.listening(address),
        error: (error) => handler.error(error),
        accepted: (socket) => accepted(socket, (passed) => handler.accepted(passed)),
      }),
  };
}
