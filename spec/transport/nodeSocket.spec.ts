import { expect, it } from 'vitest';
import { NodeSocket } from '../../lib/transport/nodeSocket.ts';

/** A socket whose figures a spec sets. */
class Counted extends NodeSocket {
  queued = 0;
  written = 0;
  readonly isTcp = true;
  readonly isClosed = false;
  readonly isPeerKnown = true;
  readonly isFinSent = false;

  /** A write of so many bytes fails at once. */
  fail(length: number): void {
    const { written } = this;
    this.written += length;
    this.failedAtOnce(written);
  }
}

it('does not count as pending what was sent before a write that fails at once', () => {
  const socket = new Counted({ address: '127.0.0.1', port: 1 });
  socket.written = 100;
  socket.queued = 60;
  expect(socket.pending).toBe(60);
  // The kernel has taken the rest, and nothing has read the figure since.
  socket.queued = 0;
  socket.fail(7);
  expect([socket.pending, socket.bytesWritten]).toEqual([0, 100]);
});
