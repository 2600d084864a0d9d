import type { Socket } from 'node:net';

/**
 * The connections of the admin port that do not have the token, or have not shown it yet: anyone can open them.
 *
 * A further one always gets in, so that no such connections can keep out a probe. If there are too many then, one is closed: of the
 * address that has most of them the one that was opened first. A probe needs its connection for some milliseconds only.
 */
export class Guests {
  /** The oldest first. */
  readonly #all = new Set<Socket>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(socket: Socket): void {
    socket.once('close', () => this.#all.delete(socket));
    this.#admit(socket);
  }

  /** Its request has the token: it is not counted until that is answered. @returns What ends that. */
  trust(socket: Socket): () => void {
    this.#all.delete(socket);
    return () => {
      if (!socket.destroyed) this.#admit(socket);
    };
  }

  #admit(socket: Socket): void {
    this.#all.add(socket);
    if (this.#all.size > this.#most) this.#oldestOfMost()?.destroy();
  }

  #oldestOfMost(): Socket | undefined {
    const counts = new Map<string | undefined, { readonly oldest: Socket; count: number }>();
    for (const socket of this.#all) {
      const { remoteAddress } = socket;
      const counted = counts.get(remoteAddress);
      if (counted) counted.count++;
      else counts.set(remoteAddress, { oldest: socket, count: 1 });
    }
    const most = Math.max(...Array.from(counts.values(), ({ count }) => count));
    const found = [...counts.values()].find(({ count }) => count === most)?.oldest;
    // Its event `close` comes later, and another connection may come before.
    if (found) this.#all.delete(found);
    return found;
  }
}
