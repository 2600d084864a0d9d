import type { Server } from 'node:net';
import { constants } from 'node:os';
import type { Handle } from './handle.ts';
import { asSocket, StandInHandle } from './nodeInternals.ts';
import { shape } from './shape.ts';

/**
 * What Sluice knows of a listening `net.Server` and that Node does not document. It continues the facts in `nodeInternals.ts`. Those
 * below it are of libuv 1.46 to 1.52, on Linux:
 *
 * 18. The server has a `_handle`, and calls `_handle.onconnection(status, handle)` for each connection, which is accepted by then.
 * 19. `readStop` only stops watching the descriptor for input, and `readStart` only watches it again. At input a listening handle
 *     accepts one connection, reading or not. So after `readStop` it accepts none, and clients wait in the queue of the kernel.
 * 20. `readStart` returns ENOTCONN unless a handle is marked as readable. One that was opened by its descriptor is. `connect` of
 *     TCP marks a handle before it calls the kernel, and the mark stays if the call fails.
 * 21. Before it does anything else, Linux fails the connect of a listening socket with EISCONN. libuv returns it, and Node frees
 *     the request.
 * 22. `readStart` must have succeeded once before `readStop` has an effect. In a handle that accepts it changes nothing else.
 * 23. A handle that watches nothing does not keep the process alive.
 * 24. A `net.Socket` connects its handle by `connect(request, address, port)`: within the call, if the address is known.
 *
 * The handle of a unix socket has no such `connect`: a failure would be reported later. In a worker of a cluster to which the
 * primary distributes connections, the handle is an object of JavaScript, without `readStart`.
 */

type OnConnection = (this: object, status: number, handle: object | undefined) => void;

/** The handle of a listening server. In a worker of a cluster it may have none of these members. */
export type ListeningHandle = Partial<Pick<Handle, 'readStart' | 'readStop' | 'setNoDelay' | 'setKeepAlive'>>;

/**
 * Takes the handles that a listening server accepts.
 *
 * @param accepted Called with each handle. It returns whether it takes the handle. If not, the server makes a socket of it.
 * @returns The handle of the server; `undefined` if it accepts in a way that is unknown, and will emit `connection`.
 */
export function takeAccepted(server: Server, accepted: (handle: object) => boolean): ListeningHandle | undefined {
  const listening = (server as { _handle?: { onconnection?: OnConnection } | null })._handle;
  const original = listening?.onconnection;
  if (!listening || typeof original !== 'function') return undefined;
  listening.onconnection = function (status, handle) {
    // An accept that failed is left to the server.
    if (status !== 0 || handle === undefined || !accepted(handle)) original.call(this, status, handle);
  };
  return listening as object;
}

// Pause and resume -----------------------------------------------------------------------------------------------------

type Pausable = Pick<Handle, 'readStart' | 'readStop'>;
type Connectable = { connect(request: object, address: string, port: number): number };

/** The longest interval of a timer, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** Whether a listening handle accepts. What is needed to pause is found out at the first pause. */
export class Accepting {
  readonly #listening: ListeningHandle;
  /** The handle if it can pause, and `null` if not. */
  #pausable: Pausable | null | undefined;
  #isPaused = false;
  #isClosed = false;
  /** Keeps the process alive from the first pause on, as a handle that accepts does (fact 23). */
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(listening: ListeningHandle) {
    this.#listening = listening;
  }

  /** @returns Whether no connection is accepted from now on. */
  pause(): boolean {
    if (this.#isPaused || this.#isClosed) return this.#isPaused;
    if (this.#pausable === undefined) this.#pausable = makePausable(this.#listening) ?? null;
    if (this.#pausable?.readStop() !== 0) return false;
    this.#isPaused = true;
    this.#keepAlive ??= setInterval(() => {}, LONGEST);
    return true;
  }

  /** @returns 0, or the number of the error for which the pause goes on. */
  resume(): number {
    if (!this.#isPaused) return 0;
    const status = this.#pausable?.readStart() ?? 0;
    if (status !== 0) return status;
    this.#isPaused = false;
    return 0;
  }

  /** To be called when the handle is closed. */
  close(): void {
    this.#isClosed = true;
    this.#isPaused = false;
    clearInterval(this.#keepAlive);
  }
}

const fits = shape<Pausable>(['readStart', 'readStop'], []);

/** @returns The handle, which still accepts, with `readStop` and `readStart` in effect; `undefined` if they have none. */
function makePausable(listening: ListeningHandle): Pausable | undefined {
  if (process.platform !== 'linux' || !fits(listening)) return undefined;
  try {
    const isReadable = listening.readStart() === 0 || (markReadable(listening) && listening.readStart() === 0);
    return isReadable ? listening : undefined;
  } catch {
    // Node does in another way what it does in the releases that are known.
    return undefined;
  }
}

/** Marks a listening handle of TCP as readable, by a connect that fails (facts 20 and 21). @returns Whether it did just that. */
function markReadable(listening: ListeningHandle): boolean {
  // Only of TCP.
  if (typeof listening.setNoDelay !== 'function') return false;
  const connecting = new Connecting(listening as object as Connectable);
  asSocket(connecting as object as Handle).connect({
    host: 'listening',
    port: 9,
    family: 4,
    lookup: (_host, _options, callback) => callback(null, '127.0.0.1', 4),
  });
  return connecting.status === -constants.errno.EISCONN;
}

/** A stand-in for the handle of a socket that connects. It connects the listening handle in its place, with the request of Node. */
class Connecting extends StandInHandle {
  status: number | undefined;
  readonly #listening: Connectable;

  constructor(listening: Connectable) {
    super();
    this.#listening = listening;
  }

  connect(request: object, address: string, port: number): number {
    // A request is complete later if the kernel has taken it, but then Node would look for a socket at the listening handle.
    Object.assign(request, { oncomplete: () => {} });
    this.status = this.#listening.connect(request, address, port);
    return 0;
  }
}
