import { once } from 'node:events';
import { createServer as createTcpServer, connect as dial, type Socket } from 'node:net';
import { createServer, connect as secureClient, type TLSSocket } from 'node:tls';
import { HandshakeSocket } from '../../lib/tls/handshakeSocket.ts';
import { secure } from '../../lib/tls/secure.ts';
import { type SecuredSocket, SecureSocket } from '../../lib/tls/secureSocket.ts';
import { type TlsClientOptions, type TlsOptions, tlsClient, tlsServer } from '../../lib/tls/tlsSide.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import type { SocketHandler, Transport, TransportSocket } from '../../lib/transport/transport.ts';
import { selfSigned } from '../support/certificates.ts';
import { iteration } from '../support/clock.ts';
import { open } from '../support/sockets.ts';
import { PATIENCE } from '../support/waitable.ts';

/** For `localhost`. */
export const { cert, key } = await selfSigned();

/** Both ends of a TLS connection: a socket of the library, and one of `node:tls`. */
export interface Ends {
  readonly socket: SecuredSocket;
  readonly peer: TLSSocket;
  /** The socket beneath the peer. */
  readonly raw: Socket;
}

export interface PairOptions {
  /** The options of both sides. */
  readonly tls?: TlsOptions & TlsClientOptions;
}

const OPTIONS = { backlog: 511, noDelay: true, keepAlive: false as const };

/** A socket that the transport accepts. */
export async function accepted(
  transport: Transport,
  { tls }: PairOptions = {},
  within: (during: TransportSocket) => void = () => {},
): Promise<Ends> {
  const side = tlsServer({ cert, key, ...tls });
  // A server knows a moment after its start what it needs for handshakes on handles.
  for (let i = 0; i < 10; i++) await iteration();
  const secured = new Promise<SecuredSocket>((resolve, reject) => {
    void open(
      (socket) => {
        const during = secure(side, socket, new Uint8Array(0), (own) => {
          own.handler = NO_HANDLER;
          resolve(own);
        });
        during.handler = { ...NO_HANDLER, failed: reject };
        expectsHandshakeOf(during, transport);
        within(during);
      },
      undefined,
      transport,
    ).then(({ port, address }) => {
      const raw = dial({ host: address.address, port: address.port ?? 0, allowHalfOpen: true });
      raw.once('connect', () => port.close());
      const peer = secureClient({ socket: raw, ca: cert, servername: 'localhost', ...tls });
      ends = { peer, raw };
    }, reject);
  });
  let ends!: Omit<Ends, 'socket'>;
  const socket = await secured;
  if (ends.peer.authorized) return { socket, ...ends };
  await once(ends.peer, 'secureConnect');
  return { socket, ...ends };
}

function expectsHandshakeOf(during: TransportSocket, transport: Transport): void {
  const isOnHandle = transport.listen.name !== 'net' && during instanceof HandshakeSocket;
  handshakes[isOnHandle ? 'handle' : 'net']++;
}

/** How many handshakes of servers ran on handles, and how many on a `TLSSocket`. */
export const handshakes = { handle: 0, net: 0 };

/** A socket that the transport connects. */
export async function dialled(transport: Transport, { tls }: PairOptions = {}): Promise<Ends> {
  const server = createServer({ cert, key, ...tls });
  const tcp = createTcpServer({ allowHalfOpen: true }, (raw) => {
    raws.push(raw);
    server.emit('connection', raw);
  });
  const raws: Socket[] = [];
  await once(tcp.listen(0, '127.0.0.1'), 'listening');
  const { port } = tcp.address() as { port: number };
  const peers = once(server, 'secureConnection');
  const socket = await new Promise<SecuredSocket>((resolve, failed) => {
    const connected = (before: TransportSocket) => {
      const raw = before.detach?.();
      if (!raw) return failed(new Error('the socket cannot be detached'));
      const side = tlsClient({ ca: cert, ...tls }, 'localhost');
      const during = new SecureSocket(side, raw, before, (own) => {
        own.handler = NO_HANDLER;
        resolve(own);
      });
      during.handler = { ...NO_HANDLER, failed };
    };
    transport.connect?.({ port, host: '127.0.0.1' }, OPTIONS, { connected, failed });
  });
  const [peer] = (await peers) as [TLSSocket];
  tcp.close();
  return { socket, peer, raw: raws[0] as Socket };
}

/** What a socket reports. */
export class Report implements SocketHandler {
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  error: Error | undefined;
  /** Called with each chunk, before it is kept. */
  onChunk: (chunk: Uint8Array) => void = () => {};

  constructor(socket: TransportSocket) {
    socket.handler = this;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  get length(): number {
    return this.chunks.reduce((sum, { length }) => sum + length, 0);
  }

  async until(event: string): Promise<void> {
    await waitUntil(() => this.events.includes(event), event);
  }

  received(chunk: Uint8Array): void {
    this.onChunk(chunk);
    this.chunks.push(Buffer.from(chunk));
  }
  peerEnded(): void {
    this.events.push('peerEnded');
  }
  writable(): void {
    this.events.push('writable');
  }
  finished(): void {
    this.events.push('finished');
  }
  writeFailed(error: Error): void {
    this.error = error;
    this.events.push('writeFailed');
  }
  failed(error: Error): void {
    this.error = error;
    this.events.push('failed');
  }
  freed(): void {
    this.events.push('freed');
  }
}

/** Waits for a condition, and evaluates it in each iteration of the event loop. */
export async function waitUntil(is: () => boolean, what: string): Promise<void> {
  const until = performance.now() + PATIENCE;
  while (!is()) {
    if (performance.now() > until) throw new Error(`Never true: ${what}`);
    await iteration();
  }
}
