import type { Socket } from 'node:net';
import { dial, type Target } from './dial.ts';
import type { Wire } from './wire.ts';

/** A connection whose request was answered. */
export interface Answered {
  readonly socket: Socket;
  /** Time from the SYN to the end of the reply, in milliseconds. */
  readonly latency: number;
}

/**
 * Connects, and sends the request with number `index`. Resolved when its whole reply has arrived and is correct; rejected if
 * the connection is closed before.
 *
 * @param onClose Called when the connection is closed after the reply, with the error that closed it, if there was one.
 */
export function once(
  target: Target,
  wire: Wire,
  index: number,
  onClose: (error: Error | undefined) => void,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const frame = index % wire.frames;
    const due = wire.replies.subarray(frame * wire.replySize, (frame + 1) * wire.replySize);
    let since = 0;
    let seen = 0;
    let failure: Error | undefined;
    dial(target, index, {
      attempt: () => {
        since = performance.now();
      },
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
        if (seen === due.length) resolve({ socket, latency: performance.now() - since });
      },
      close: () => {
        if (seen === due.length) onClose(failure);
        else reject(new Error('The server closed a connection before its reply'));
      },
      fail: (error) => {
        failure = error;
        reject(error);
      },
    });
  });
}
