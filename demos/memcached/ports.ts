import { type Address, nodeTransport, type Port, type Transport, type Where } from '../../lib/index.ts';

/**
 * Several addresses as one port: all their connections come to one server, which has one limit and one drain for them.
 *
 * It is open when all of them are. If one of them cannot be opened, none stays open.
 *
 * @param others Where to listen beside the address that the server is given.
 * @param listening Told what each of the others was bound to, when all are.
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
