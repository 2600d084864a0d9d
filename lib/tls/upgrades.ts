import { type Check, checkArgument } from '../options.ts';
import type { HandshakeQueue } from './handshakeQueue.ts';
import {
  type TlsClientOptions,
  type TlsOptions,
  type TlsSide,
  tlsClient,
  tlsClientOptions,
  tlsServer,
  tlsServerOptions,
} from './tlsSide.ts';

/** How long a handshake with a server of ours may take by default, in milliseconds. */
export const HANDSHAKE = 10_000;

/** How the connections of one listener, or of one `connect`, are secured in the middle of a conversation. */
export interface Upgrades {
  /** How long a handshake may take, in milliseconds. */
  readonly deadline: number;
  /** Where connections wait for their handshakes; `undefined` for a client, whose side begins. */
  readonly queue: HandshakeQueue | undefined;
  /**
   * Our side, made once for each object of options. For a client `true` stands for the defaults, for a server for those of the port.
   *
   * @throws TypeError for options that `node:tls` does not take.
   */
  side(options: TlsOptions | TlsClientOptions | true): TlsSide;
}

/** @param port The current options of the port, if it has some for this. */
export function serverUpgrades(queue: HandshakeQueue, deadline: number, port?: { readonly side: TlsSide }): Upgrades {
  const given = onceFor(tlsServer, tlsServerOptions);
  const side = (options: Parameters<Upgrades['side']>[0]) => {
    if (options !== true) return given(options);
    if (port === undefined)
      throw new TypeError('Cannot upgrade the connection: it takes tls, or the options tls and startTls');
    return port.side;
  };
  return { deadline, queue, side };
}

/** @param host The name that the server's certificate must have. */
export function clientUpgrades(host: string | undefined, deadline: number): Upgrades {
  const side = onceFor((options: TlsClientOptions) => tlsClient(options, host), tlsClientOptions);
  return { deadline, queue: undefined, side: (options) => side(options === true ? DEFAULTS : options) };
}

const DEFAULTS = {};

/** To read certificates and keys takes longer than a handshake. */
function onceFor<T>(make: (options: T) => TlsSide, allowed: Check): Upgrades['side'] {
  const sides = new WeakMap<object, TlsSide>();
  return (options) => {
    const known = sides.get(options as object);
    if (known) return known;
    checkArgument('upgrade the connection', 'tls', options, allowed);
    const side = make(options as T);
    sides.set(options as object, side);
    return side;
  };
}
