import type { Socket } from 'node:net';
import { dial } from './dial.ts';
import type { Wire } from './wire.ts';

/** Connects, and sends the request with number `index`. Resolved when its whole reply has arrived and is correct. */
export function once(port: number, wire: Wire, index: number, onClose: () => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const frame = index % wire.frames;
    const due = wire.replies.subarray(frame * wire.replySize, (frame + 1) * wire.replySize);
    let seen = 0;
    dial(port, index, {
      open: (socket) => {
        socket.write(wire.requests.subarray(frame * wire.requestSize, (frame + 1) * wire.requestSize));
      },
      read: (bytes, length, socket) => {
        if (seen + length > due.length || bytes.compare(due, seen, seen + length, 0, length) !== 0) {
          const got = bytes.toString('latin1', 0, Math.min(length, 160));
          socket.destroy(new Error(`Wrong reply: ${JSON.stringify(got)}`));
          return;
        }
        seen += length;
        if (seen === due.length) resolve(socket);
      },
      close: () => {
        reject(new Error('The server closed a connection before its reply'));
        onClose();
      },
      fail: reject,
    });
  });
}
