import type { SocketHandler } from './transport.ts';

/** Ignores everything that happens to a socket: the handler of one that has no handler yet. */
export const NO_HANDLER: SocketHandler = {
  received() {},
  peerEnded() {},
  writable() {},
  finished() {},
  writeFailed() {},
  failed() {},
  freed() {},
};
