import { connect, type Socket } from 'node:net';

/** One buffer for every connection: a read is looked at before the next one can happen. */
const shared = Buffer.allocUnsafe(64 * 1024);

/** What a load does with one of its connections. */
export interface Ends {
  readonly open: (socket: Socket) => void;
  /** Sees the bytes in place; they are gone when it returns. */
  readonly read: (bytes: Buffer, length: number, socket: Socket) => void;
  readonly close: () => void;
  readonly fail: (error: Error) => void;
}

/**
 * Connects to the server over one of 64 loopback addresses, chosen by `index`: each has ports of its own, so
 * ten thousand connections, or many short ones one after another, do not run out of them.
 */
export function dial(port: number, index: number, ends: Ends): Socket {
  const socket = connect({
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
  });
  socket.once('connect', () => ends.open(socket));
  socket.once('error', ends.fail);
  socket.once('close', ends.close);
  return socket;
}

/** The outcome of `work`, or an error once `progress` has said the same twice, ten seconds apart. */
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
