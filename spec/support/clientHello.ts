import { Duplex } from 'node:stream';
import { connect } from 'node:tls';

/** The first message of a client of `node:tls`. */
export function hello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const sink = new Duplex({ read: () => undefined, write: (chunk) => resolve(chunk) });
    connect({ socket: sink, servername: 'localhost' }).on('error', () => undefined);
  });
}
