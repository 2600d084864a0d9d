import { filter } from 'rxjs';
import * as connecting from '../../../lib/connect/connect.ts';
import type { ListenEvent, ServerEvent } from '../../../lib/events.ts';
import * as listening from '../../../lib/listen/listen.ts';
import * as serving from '../../../lib/serve.ts';
import { SecureSocket } from '../../../lib/tls/secureSocket.ts';
import { type TlsSide, tlsClient, tlsServer } from '../../../lib/tls/tlsSide.ts';
import * as node from '../../../lib/transport/node.ts';
import { NO_HANDLER } from '../../../lib/transport/noHandler.ts';
import type { Transport, TransportSocket } from '../../../lib/transport/transport.ts';
import { clientOptions, serverOptions } from './certificate.ts';

export * from '../../../lib/connect/connect.ts';
export * from '../../../lib/index.ts';
export * from '../../../lib/listen/listen.ts';
export * from '../../../lib/serve.ts';

/** The transports over TLS, and what they are without it. */
const plain = new Map<unknown, Transport | undefined>([[undefined, undefined]]);

function secured(transport: Transport): Transport {
  const secure: Transport = {
    listen: (where, options, handler) =>
      transport.listen(where, options, {
        listening: (address, name) => handler.listening(address, name),
        error: (error) => handler.error(error),
        accepted: (socket) => begin(tlsServer(serverOptions), socket, (own) => handler.accepted(own)),
      }),
    connect: (where, options, handler) =>
      transport.connect?.(where, options, {
        failed: (error) => handler.failed(error),
        connected: (socket) =>
          begin(tlsClient(clientOptions, 'localhost'), socket, (own) => handler.connected(own), handler.failed),
      }) as ReturnType<NonNullable<Transport['connect']>>,
  };
  plain.set(secure, transport);
  return secure;
}

function begin(
  side: TlsSide,
  socket: TransportSocket,
  done: (socket: TransportSocket) => void,
  failed?: (error: Error) => void,
): void {
  const raw = socket.detach?.();
  if (raw === undefined) throw new Error('the socket cannot be detached');
  const secure = new SecureSocket(side, raw, socket, () => done(secure));
  secure.handler = { ...NO_HANDLER, peerEnded: () => secure.destroy(), failed: (error) => failed?.(error) };
}

export const nodeTransport = secured(node.nodeTransport);
export const netTransport = secured(node.netTransport);

/** Adds `tls` where the network is the real one. */
function withTls<Options extends object>(options: Options, tls: object): Options {
  if (typeof options !== 'object' || options === null) return options;
  const { transport } = options as { transport?: unknown };
  if ('tls' in options || !plain.has(transport)) return options;
  return { ...options, tls, ...(transport !== undefined && { transport: plain.get(transport) }) };
}

/** The specs compare lists of events, which are the same without TLS. */
const isExpected = ({ type }: ListenEvent | ServerEvent) => type !== 'certificate';

export const serve: typeof serving.serve = (where, handler, options = {}) =>
  serving.serve(where, handler, withTls(options, serverOptions)).pipe(filter(isExpected));

export const listen: typeof listening.listen = (where, options = {}) => {
  const { events } = options ?? {};
  const next = (event: ListenEvent) => isExpected(event) && events?.next(event);
  const filtered = typeof events?.next === 'function' ? { ...options, events: { next } } : options;
  return listening.listen(where, withTls(filtered, serverOptions));
};

export const connect: typeof connecting.connect = (where, options = {}) =>
  connecting.connect(where, withTls(options, clientOptions));
