import { filter } from 'rxjs';
import * as connecting from '../../../lib/connect/connect.ts';
import type { ListenEvent, ServerEvent } from '../../../lib/events.ts';
import * as listening from '../../../lib/listen/listen.ts';
import * as serving from '../../../lib/serve.ts';
import { secure as secureServer } from '../../../lib/tls/secure.ts';
import { type SecuredSocket, SecureSocket } from '../../../lib/tls/secureSocket.ts';
import { tlsClient, tlsServer } from '../../../lib/tls/tlsSide.ts';
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
        accepted: (socket) =>
          begin(
            (done) => secureServer(server, socket, NOTHING, done),
            (own) => handler.accepted(own),
          ),
      }),
    connect: (where, options, handler) =>
      transport.connect?.(where, options, {
        failed: (error) => handler.failed(error),
        connected: (socket) =>
          begin(
            (done) => secureClient(socket, done),
            (own) => handler.connected(own),
            (error) => handler.failed(error),
          ),
      }) as ReturnType<NonNullable<Transport['connect']>>,
  };
  plain.set(secure, transport);
  return secure;
}

const server = tlsServer(serverOptions);
/** Nothing was read before the handshake. */
const NOTHING = new Uint8Array(0);

function secureClient(socket: TransportSocket, onSecured: (socket: SecuredSocket) => void): TransportSocket {
  const raw = socket.detach?.();
  if (raw === undefined) throw new Error('the socket cannot be detached');
  return new SecureSocket(tlsClient(clientOptions, 'localhost'), raw, socket, onSecured);
}

function begin(
  handshake: (onSecured: (socket: SecuredSocket) => void) => TransportSocket,
  done: (socket: TransportSocket) => void,
  failed?: (error: Error) => void,
): void {
  const during = handshake(done);
  during.handler = { ...NO_HANDLER, peerEnded: () => during.destroy(), failed: (error) => failed?.(error) };
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
