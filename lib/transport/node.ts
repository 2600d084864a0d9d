import { dial } from './nodeDial.ts';
import { handles } from './nodeInternals.ts';
import { listen } from './nodePort.ts';
import type { Transport } from './transport.ts';

/** Read from the environment on each call, so that a spec can test both transports in one process. */
const usable = () => (process.env.SLUICE_TRANSPORT === 'net' ? undefined : handles());

/**
 * TCP and unix sockets, on the handles beneath `net.Socket`, which cost less.
 *
 * All connections read into one shared buffer. Node does not document these handles. So {@link netTransport} is used in place of
 * this transport in releases of Node in which it is not tested, in other runtimes, where a handle has an unexpected shape, and
 * with `SLUICE_TRANSPORT=net` in the environment. The event `listening` says which one is used.
 *
 * @example A transport of your own that begins with this one: it counts accepted sockets.
 * ```ts
 * let accepted = 0;
 * const counting: Transport = {
 *   ...nodeTransport,
 *   listen: (where, options, handler) =>
 *     nodeTransport.listen(where, options, {
 *       listening: (address, name) => handler.listening(address, name),
 *       error: (error) => handler.error(error),
 *       accepted: (socket) => {
 *         accepted += 1;
 *         handler.accepted(socket);
 *       },
 *     }),
 * };
 *
 * serve({ port: 7000 }, () => `${accepted}\n`, { transport: counting }).subscribe();
 * ```
 */
export const nodeTransport: Transport = {
  listen: (where, options, handler) => listen(where, options, handler, usable()),
  connect: (where, options, handler) => dial(where, options, handler, usable()),
};

/**
 * TCP and unix sockets, by the documented interface of `node:net`.
 *
 * @example
 * ```ts
 * serve({ port: 7000 }, (client) => client.pipe(lines(), map(encodeLine)), { transport: netTransport }).subscribe();
 * ```
 */
export const netTransport: Transport = {
  listen: (where, options, handler) => listen(where, options, handler, undefined),
  connect: (where, options, handler) => dial(where, options, handler, undefined),
};
