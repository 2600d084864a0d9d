import { type NextObserver, Observable, type Subscriber } from 'rxjs';
import type { ConnectionSettings } from '../connection/settings.ts';
import { type ConnectionOwner, SocketConnection } from '../connection/socketConnection.ts';
import type { CertificateEvent, Closed, FailedEvent, ListenEvent } from '../events.ts';
import type { Address, PortHandler, TransportSocket } from '../transport/transport.ts';
import { Admission } from './admission.ts';
import { Arrivals, type ArrivalsOptions } from './arrivals.ts';
import { closedEvent } from './closedEvent.ts';
import type { Lingering } from './lingering.ts';
import { type Farewell, Refusal } from './refusal.ts';
import type { Registry } from './registry.ts';
import { WaitingRoom, type WaitingRoomOptions } from './waitingRoom.ts';

export interface ListenerOptions {
  /** What all its connections have in common. */
  readonly settings: ConnectionSettings;
  readonly waitingRoom: Omit<WaitingRoomOptions, 'clock'>;
  /** What a connection has to pass before it can be handed out, if anything. */
  readonly arrivals: Omit<ArrivalsOptions, 'clock'> | undefined;
  readonly farewell: Farewell | undefined;
  readonly events: NextObserver<ListenEvent> | undefined;
  readonly registry: Registry;
  readonly lingering: Lingering;
  /** Hands a connection to the operators. */
  readonly hand: (connection: SocketConnection) => void;
  /** The port could not be opened. */
  readonly fail: (error: Error) => void;
}

/** One open port: counts the connections, lets them in or refuses them, hands them out, and emits the events. */
export class Listener implements PortHandler, ConnectionOwner {
  readonly #settings: ConnectionSettings;
  readonly #registry: Registry;
  readonly #lingering: Lingering;
  readonly #fail: (error: Error) => void;
  readonly #admission: Admission;
  readonly #arrivals: Arrivals | undefined;
  readonly #waitingRoom: WaitingRoom<SocketConnection>;
  readonly #refusal: Refusal;
  /** The observer, behind a subscriber of RxJS, which reports what it throws as unhandled: that disturbs nothing here. */
  #events: Subscriber<ListenEvent> | undefined;
  #listening = false;

  constructor({ settings, waitingRoom, arrivals, farewell, events, registry, lingering, hand, fail }: ListenerOptions) {
    const { clock, budget } = settings;
    const emit = (event: ListenEvent) => this.#emit(event);
    this.#settings = settings;
    this.#registry = registry;
    this.#lingering = lingering;
    this.#fail = fail;
    if (events) {
      new Observable<ListenEvent>((to) => {
        this.#events = to;
      }).subscribe(events);
    }
    this.#admission = new Admission({ clock, budget, registry }, emit);
    this.#refusal = new Refusal({ clock, farewell, registry, lingering, emit });
    if (arrivals) {
      this.#arrivals = new Arrivals(
        { ...arrivals, clock },
        {
          ready: (connection) => this.#waitingRoom.arrive(connection),
          refuse: (connection, reason, error) => this.#refusal.refuseArrival(connection, reason, error),
          handshakes: (change) => {
            registry.handshakes += change;
          },
        },
      );
    }
    this.#waitingRoom = new WaitingRoom(
      { ...waitingRoom, clock },
      {
        hand,
        refuse: (connection, reason) => this.#refusal.refuse(connection, reason),
        waits: (connection) => connection.wait(),
        isAbandoned: (connection) => this.#isAbandoned(connection),
      },
    );
  }

  listening(address: Address, transport?: string): void {
    this.#listening = true;
    const { counters, table: connections } = this.#registry;
    this.#emit({ type: 'listening', address, transport, counters, connections });
  }

  accepted(socket: TransportSocket): void {
    const connection = new SocketConnection(this.#registry.accept(), socket, this.#settings, this);
    // There is no observer of the event `hoarding`.
    if (!this.#events) connection.usage.isUnmeasured = true;
    const reason = this.#admission.refusal(socket);
    if (this.#arrivals === undefined) {
      if (reason === undefined) this.#waitingRoom.arrive(connection);
      else this.#refusal.refuse(connection, reason);
    } else if (reason === undefined) {
      this.#arrivals.accept(connection, socket);
    } else {
      // A farewell would have to be encrypted.
      this.#refusal.refuseArrival(connection, reason);
    }
  }

  error(error: Error): void {
    // A server does not end because one accept failed: the client may have given up, or memory was short.
    if (this.#listening) this.#emit({ type: 'failed', error });
    else this.#fail(error);
  }

  taken(connection: SocketConnection): void {
    this.#registry.take(connection);
    const { id, peer, waited, via, security } = connection;
    this.#emit({ type: 'opened', id, peer, waited, ...(via && { via }), ...(security && { security }) });
    this.#waitingRoom.taken(connection);
  }

  missed(connection: SocketConnection): void {
    this.#waitingRoom.taken(connection);
  }

  refuse(connection: SocketConnection, reason: string): void {
    this.#refusal.refuse(connection, reason);
    this.#waitingRoom.leave(connection, true);
  }

  hoards({ id, peer }: SocketConnection, frames: number, bytes: number): void {
    this.#emit({ type: 'hoarding', id, peer, frames, bytes });
  }

  drains(connection: SocketConnection): void {
    this.#registry.table.drains(connection);
  }

  closed(connection: SocketConnection, closed: Closed): void {
    connection.arrival?.leave();
    if (connection.isCountedAsWaiting) {
      // Its peer left while it waited. If an operator's buffer still references it, it keeps its slot.
      this.#waitingRoom.leave(connection, false);
      this.#refusal.closed(connection);
    } else if (connection.taken) {
      const event = closedEvent(connection, closed);
      this.#registry.close(connection, event);
      this.#emit(event);
    } else {
      this.#lingering.delete(connection);
    }
    this.#admission.closed();
  }

  /** The port is closed: refuses all connections that wait. */
  close(): void {
    this.#refusal.flush();
    this.#arrivals?.close();
    this.#waitingRoom.close();
    this.#registry.table.portClosed();
  }

  #isAbandoned(connection: SocketConnection): boolean {
    if (!connection.abandoned) return false;
    this.#refusal.refuseAbandoned(connection);
    return true;
  }

  /** An event of the port, and not of a connection. */
  emit(event: CertificateEvent | FailedEvent): void {
    this.#emit(event);
  }

  #emit(event: ListenEvent): void {
    this.#events?.next(event);
  }
}
