import type { SocketHandler } from './transport.ts';

/** Ignores everything that happens to a socket: the handler of one that has none yet, or that is closed as soon as it is accepted. */
export const NO_HANDLER: SocketHandler = {
  received() {},
  peerEnded() {},
  writable() {},
  finished() {},
  writeFailed() {},
  failed() {},
  freed() {},
};
