import { dial } from './nodeDial.ts';
import { listen } from './nodePort.ts';
import type { Transport } from './transport.ts';

/**
 * TCP and unix sockets, by `node:net`.
 *
 * All connections read into one shared buffer. A release of Node without the interface for that allocates memory for each read;
 * so does any release with `SLUICE_READS=data` in the environment.
 */
export const nodeTransport: Transport = { listen, connect: dial };
