import { type Address, nodeTransport, type Port, type Transport, type Where } from '../../lib/index.ts';

/**
 * Several addresses as one port: the connections of all of them go to one server, which has one limit and one drain for them.
 *
 * The port is open once all addresses are bound. If one of them cannot be bound, none stays bound.
 *
 * @param others The addresses to listen on beside the one that the server is given.
 * @param listening Called with the bound address of each of the others, once all are bound.
 */
export function alsoAt(others: readonly Where[], listening: (address: Address) => void): Transport {
  return {
    listen(where, options, handler) {
      const ports: Port[] = [];
      const bound = new Map<Where, Address>();
      const all = [where, ...others];
      const isOpen = () => bound.size === all.length;
      const close = () => {
        for (const port of ports.splice(0)) port.close();
      };
      for (const at of all) {
        const port = nodeTransport.listen(at, options, {
          listening: (address) => {
            bound.set(at, address);
            if (!isOpen()) return;
            handler.listening(bound.get(where) ?? address);
            for (const other of others) listening(bound.get(other) ?? address);
          },
          accepted: (socket) => handler.accepted(socket),
          error: (error) => {
            if (!isOpen()) close();
            handler.error(error);
          },
        });
        ports.push(port);
      }
      return { close };
    },
  };
}
