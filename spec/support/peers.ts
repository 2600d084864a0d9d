import type { SchedulerLike } from 'rxjs';
import type { ConnectionSettings } from '../../lib/connection/settings.ts';
import { type ConnectionOwner, SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { Closed } from '../../lib/events.ts';
import { type MemoryClient, type MemoryClientOptions, MemoryNetwork } from '../../lib/testing/index.ts';
import type { SocketHandler, TransportSocket } from '../../lib/transport/transport.ts';
import { marbles } from './marbles.ts';
import { settings } from './settings.ts';

/** An owner of connections that records their notifications, in order. */
export class RecordingOwner implements ConnectionOwner {
  readonly taken = (connection: SocketConnection) => void this.log.push(`taken ${connection.id}`);
  readonly log: string[] = [];
  readonly ends: Closed[] = [];
  missed(connection: SocketConnection): void {
    this.log.push(`missed ${connection.id}`);
  }
  refuse(connection: SocketConnection, reason: string): void {
    this.log.push(`refuse ${connection.id} ${reason}`);
    connection.dismiss(undefined, 0);
  }
  closed(connection: SocketConnection, closed: Closed): void {
    this.log.push(`closed ${connection.id} ${closed.reason}`);
    this.ends.push(closed);
  }
}

export interface PairOptions extends Partial<ConnectionSettings>, MemoryClientOptions {
  /** The value of the socket's `alive`. @default undefined */
  readonly alive?: boolean;
}

export interface Pair {
  readonly client: MemoryClient;
  readonly network: MemoryNetwork;
  readonly owner: RecordingOwner;
  /** What was written to the transport, one element per call. */
  readonly writes: string[];
  /** Calls of `pause` and `resume`. */
  readonly flow: string[];
}

/** A client in memory, and the connection at the other end, which is passed to `accepted` within the accept. */
export function pair(
  scheduler: SchedulerLike,
  options: PairOptions,
  accepted: (at: Pair & { connection: SocketConnection }) => void,
): Pair {
  const { window, step, address, alive, ...some } = options;
  const client = {
    ...(window !== undefined && { window }),
    ...(step !== undefined && { step }),
    ...(address !== undefined && { address }),
  };
  const network = new MemoryNetwork(scheduler);
  const owner = new RecordingOwner();
  const writes: string[] = [];
  const flow: string[] = [];
  const at: Pair = { client: undefined as unknown as MemoryClient, network, owner, writes, flow };
  let id = 0;
  network.transport.listen(
    { port: 0 },
    { backlog: 1, noDelay: true, keepAlive: false },
    {
      listening() {},
      error(error) {
        throw error;
      },
      accepted(socket) {
        const connection = new SocketConnection(
          ++id,
          spied(socket, writes, flow, alive),
          settings({ clock: scheduler, maxOutbound: Number.POSITIVE_INFINITY, ...some }),
          owner,
        );
        accepted({ ...at, connection });
      },
    },
  );
  (at as { client: MemoryClient }).client = network.connect({ allowHalfOpen: true, ...client });
  return at;
}

const text = (data: string | Uint8Array) => (typeof data === 'string' ? data : Buffer.from(data).toString());

/** A socket that records the calls of its methods. */
export function spied(socket: TransportSocket, writes: string[], flow: string[], alive?: boolean): TransportSocket {
  return {
    get handler(): SocketHandler {
      return socket.handler;
    },
    set handler(handler: SocketHandler) {
      socket.handler = handler;
    },
    local: socket.local,
    peer: socket.peer,
    descriptor: socket.descriptor,
    needsPolling: alive !== undefined || socket.needsPolling,
    get alive() {
      return alive ?? socket.alive;
    },
    borrows: socket.borrows,
    get pending() {
      return socket.pending;
    },
    get bytesWritten() {
      return socket.bytesWritten;
    },
    roomStep: socket.roomStep ?? 0,
    resume() {
      flow.push('resume');
      socket.resume();
    },
    pause() {
      flow.push('pause');
      socket.pause();
    },
    write(data) {
      writes.push(typeof data === 'string' || data instanceof Uint8Array ? text(data) : data.map(text).join(''));
      return socket.write(data);
    },
    end: () => socket.end(),
    destroy: () => socket.destroy(),
    reset: () => socket.reset(),
  };
}

export type At = Pair & {
  connection: SocketConnection;
  note: (text: unknown) => void;
  at: (ms: number, work: () => void) => void;
};

/** Runs one connection on virtual time until nothing is due. Returns the notes of the spec, each with its time, and the pair. */
export function run(options: PairOptions, test: (at: At) => void): { notes: unknown[]; made: Pair } {
  const notes: unknown[] = [];
  let made: Pair | undefined;
  marbles(({ clock, flush }) => {
    const note = (text: unknown) => notes.push(`${clock.now()} ${text}`);
    const at = (ms: number, work: () => void) => void clock.schedule(work, ms);
    made = pair(clock, options, (all) => {
      all.connection.closed.subscribe(({ reason, bytesOut, unsent }) => note(`${reason} ${bytesOut} ${unsent}`));
      test({ ...all, client: (made as Pair).client, note, at });
    });
    flush();
  })();
  return { notes, made: made as Pair };
}

export const noteEnd = (note: At['note']) => ({
  error: (error: unknown) => note(error instanceof Error ? error.message : error),
  complete: () => note('complete'),
});
