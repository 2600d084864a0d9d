import type { Transport } from '../../lib/index.ts';

/** A transport that says to listen on this port: all servers in memory have the same address. */
export const onPort = (transport: Transport, port: number): Transport => ({
  listen: (where, options, handler) =>
    transport.listen(where, options, {
      listening: (address, name) => handler.listening({ ...address, port }, name),
      accepted: (socket) => handler.accepted(socket),
      error: (error) => handler.error(error),
    }),
});
