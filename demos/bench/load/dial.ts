import { connect, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { Job } from './job.ts';

/** The read buffer of all connections. One is enough, because each read is checked before the next one. */
const shared = Buffer.allocUnsafe(64 * 1024);

/** The server of a connection. */
export type Target = Pick<Job, 'port' | 'mode'>;

/**
 * One context for all clients: to make it costs more than a handshake. All servers use the same version and the same cipher.
 * No client has a ticket, so each handshake is a full one. No client checks the certificate, which costs the server nothing.
 */
const secure = {
  secureContext: createSecureContext({ minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' }),
  rejectUnauthorized: false,
};

/** The callbacks of one connection of a load. */
export interface Ends {
  /** Called right before the SYN is sent. */
  readonly attempt?: () => void;
  readonly open: (socket: Socket) => void;
  /** Receives the bytes in the shared buffer; they are valid only during the call. */
  readonly read: (bytes: Buffer, length: number, socket: Socket) => void;
  readonly close: () => void;
  readonly fail: (error: Error) => void;
}

/**
 * Connects to the server at one of 64 loopback addresses, chosen by `index`. Each address has its own client ports; with one
 * address, ten thousand connections, or many short ones in succession, would use up the ports.
 */
export function dial({ port, mode }: Target, index: number, ends: Ends): Socket {
  const how = {
    port,
    host: `127.0.0.${1 + (index % 64)}`,
    noDelay: true,
    onread: {
      buffer: shared,
      callback: (length: number, bytes: Uint8Array) => {
        ends.read(bytes as Buffer, length, socket);
        return true;
      },
    },
  };
  const isSecure = mode === 'tls';
  const socket: Socket = isSecure ? connectTls({ ...how, ...secure }) : connect(how);
  if (ends.attempt !== undefined) socket.once('connectionAttempt', ends.attempt);
  socket.once(isSecure ? 'secureConnect' : 'connect', () => ends.open(socket));
  socket.once('error', ends.fail);
  socket.once('close', ends.close);
  return socket;
}

/** The outcome of `work`, or an error once `progress` has not changed for ten seconds. */
export async function unlessStalled<T>(work: Promise<T>, progress: () => number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_, reject) => {
    let last = -1;
    timer = setInterval(() => {
      const now = progress();
      if (now === last) reject(new Error(`The server has not replied for ten seconds (progress ${now})`));
      last = now;
    }, 10_000);
  });
  try {
    return await Promise.race([work, stalled]);
  } finally {
    clearInterval(timer);
  }
}
