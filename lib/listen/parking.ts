import type { Port } from '../transport/transport.ts';

export interface ParkingOptions {
  /** Where connections wait: to be handed out; to be secured or to send a PROXY header. One room that is full parks the port. */
  readonly rooms: readonly Room[];
  /** The port cannot stop accepting, so connections are refused. */
  readonly cannot: (error: Error) => void;
}

/** How many connections wait, and how many may wait now. */
interface Room {
  readonly size: () => number;
  readonly max: () => number;
}

/** The share of the waiting room that has to be free before the port accepts again. */
const FREE = 1 / 4;

/**
 * Backpressure at accept: while as many connections wait as may, the port stops accepting. Clients then wait in the queue of the
 * kernel, which is `backlog` long, and notice nothing.
 *
 * It goes on when a quarter of the room is free, so that a full server does not stop and go for each connection. One place is
 * enough in a room of three or fewer.
 */
export class Parking {
  readonly #options: ParkingOptions;
  #port: Port | undefined;
  #isParked = false;
  #isOver = false;

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  /** The server drains, or the port is closed. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get isParked(): boolean {
    return this.#isParked;
  }

  /** Whether the port stops accepting when as many wait as may. */
  get canPark(): boolean {
    return this.#port !== undefined;
  }

  /** The port is open. */
  opened(port: Port): void {
    // An observer of `listening` has closed the port.
    if (this.#isOver) return;
    // Seen now, and not at the first overload: an operator can still do something about it.
    if (port.pause?.() === true) {
      port.resume?.();
      this.#port = port;
    } else {
      const where = 'it needs a TCP port of Linux and the transport by handles';
      this.#options.cannot(new Error(`Cannot park: this port cannot stop accepting, so clients are refused; ${where}`));
    }
  }

  /** A connection has come, or has left, or the limit has changed. */
  update(): void {
    if (this.#port === undefined) return;
    const { rooms } = this.#options;
    if (!this.#isParked) {
      if (rooms.some(({ size, max }) => size() >= max())) this.#isParked = this.#port.pause?.() === true;
    } else if (rooms.every(hasRoom)) {
      this.#isParked = false;
      this.#port.resume?.();
    }
  }

  /** The server drains: the clients in the queue of the kernel are accepted, and served, or refused as `draining`. */
  end(): void {
    const port = this.#port;
    this.#port = undefined;
    this.#isOver = true;
    if (this.#isParked) port?.resume?.();
    this.#isParked = false;
  }
}

function hasRoom({ size, max }: Room): boolean {
  const most = max();
  return size() <= most - Math.max(1, Math.floor(most * FREE));
}
