import type { Defer } from './microtaskQueue.ts';

/** The end of a connection that a socket sends to. */
export interface FarEnd {
  /** Receives as much as its window has room for. @returns How much that is, in bytes. */
  take(chunk: Uint8Array): number;
  /** The share of its window that it reads before it takes more. @default 0 */
  readonly step?: number;
  /** The socket has sent a FIN. */
  fin(): void;
  /** The socket has sent a RST. */
  rst(): void;
  /** The socket has read this many bytes of what it was sent. */
  acknowledge?(bytes: number): void;
}

/** What the far end calls on a socket. */
export interface NearEnd {
  /** Bytes have arrived. A closed socket answers them with a RST. */
  arrive(chunk: Uint8Array): void;
  /** A FIN has arrived. */
  arriveFin(): void;
  /** A RST has arrived. */
  arriveRst(): void;
  /** The window of the far end has room again: sends what is queued. */
  pump(): void;
}

/** Bytes per direction that are in flight, or have arrived and are not read yet. */
const WINDOW = 64 * 1024;

/** Links two sockets. @returns For each of them the end to send to; its `receiver` is the other socket. */
export function link(defer: Defer): readonly [Direction, Direction] {
  const one = new Direction(defer);
  const other = new Direction(defer);
  one.opposite = other;
  other.opposite = one;
  return [one, other];
}

/** One direction of a link. */
class Direction implements FarEnd {
  /** The socket that reads what is sent in this direction. */
  receiver: NearEnd | undefined;
  opposite: Direction | undefined;
  readonly #defer: Defer;
  #unread = 0;

  constructor(defer: Defer) {
    this.#defer = defer;
  }

  take(chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, WINDOW - this.#unread);
    if (taken === 0) return 0;
    this.#unread += taken;
    // Not the chunk's own `slice`, because that of a Buffer does not copy.
    const copy = Uint8Array.prototype.slice.call(chunk, 0, taken);
    this.#defer(() => this.receiver?.arrive(copy));
    return taken;
  }

  fin(): void {
    this.#defer(() => this.receiver?.arriveFin());
  }

  rst(): void {
    this.receiver?.arriveRst();
  }

  acknowledge(bytes: number): void {
    const { opposite } = this;
    if (opposite) this.#defer(() => opposite.#acknowledged(bytes, this.receiver));
  }

  /** @param sender The socket that sends in this direction: it is the receiver of the opposite one. */
  #acknowledged(bytes: number, sender: NearEnd | undefined): void {
    this.#unread -= bytes;
    sender?.pump();
  }
}
