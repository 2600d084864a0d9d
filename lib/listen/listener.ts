import { type NextObserver, Observable, type Subscriber } from 'rxjs';
import { EventChannels } from '../channels.ts';
import type { ConnectionSettings } from '../connection/settings.ts';
import { type ConnectionOwner, SocketConnection } from '../connection/socketConnection.ts';
import type { Closed, ListenEvent, RefusalReason } from '../events.ts';
import type { Address, Port, PortHandler, TransportSocket } from '../transport/transport.ts';
import { Admission, type AdmissionRules } from './admission.ts';
import { Arrivals, type ArrivalsOptions } from './arrivals.ts';
import { closedEvent } from './closedEvent.ts';
import { Eviction, type Overflow } from './eviction.ts';
import type { CurrentLimits } from './limits.ts';
import type { Lingering } from './lingering.ts';
import { openedEvent } from './openedEvent.ts';
import { Pace } from './pace.ts';
import { Parking } from './parking.ts';
import { type Farewell, Refusal } from './refusal.ts';
import type { Registry } from './registry.ts';
import { WaitingRoom, type WaitingRoomOptions } from './waitingRoom.ts';

export interface ListenerOptions {
  /** What all its connections have in common. */
  readonly settings: ConnectionSettings;
  readonly waitingRoom: WaitingRoomOptions;
  /** What a connection has to pass before it can be handed out, if anything. */
  readonly arrivals: ArrivalsOptions | undefined;
  readonly rules: AdmissionRules;
  readonly limits: CurrentLimits;
  /** Whether the limit on connections that are served holds here, and not in the operators. */
  readonly holdsConcurrency: boolean;
  readonly overflow: Overflow;
  readonly farewell: Farewell | undefined;
  readonly random: () => number;
  readonly events: NextObserver<ListenEvent> | undefined;
  /** Where events are published, unless `serve` does that. */
  readonly channels: EventChannels | undefined;
  readonly registry: Registry;
  readonly lingering: Lingering;
  /** Hands a connection to the operators. */
  readonly hand: (connection: SocketConnection) => void;
  /** The port could not be opened. */
  readonly fail: (error: Error) => void;
}

/**
 * Whether the peer has reset the connection before it was accepted. Its address is unknown then, so no list and no rate holds for it.
 * The kernel is asked only where the address is unknown.
 */
const isReset = (socket: TransportSocket): boolean => socket.peer.port === undefined && socket.alive === false;

/** The reasons for which a place that becomes free helps. */
const PLACES: ReadonlySet<RefusalReason> = new Set(['full', 'timeout']);

/** One open port: counts the connections, lets them in or refuses them, hands them out, and emits the events. */
export class Listener implements PortHandler, ConnectionOwner {
  /** Set when the port is being opened. */
  port: Port | undefined;
  /** Called when the port is open, before the event of that. */
  opening: (() => void) | undefined;
  readonly #options: ListenerOptions;
  readonly #registry: Registry;
  readonly #admission: Admission;
  readonly #arrivals: Arrivals | undefined;
  readonly #waitingRoom: WaitingRoom<SocketConnection>;
  readonly #refusal: Refusal;
  readonly #parking: Parking | undefined;
  readonly #eviction: Eviction | undefined;
  /** Measured only where a farewell is made of it. */
  readonly #pace: Pace | undefined;
  /** The observer, behind a subscriber of RxJS, which reports what it throws as unhandled: that disturbs nothing here. */
  #events: Subscriber<ListenEvent> | undefined;
  #listening = false;

  constructor(options: ListenerOptions) {
    const { settings, waitingRoom, arrivals, rules, farewell, random, events, registry, lingering, hand } = options;
    const { clock, budget } = settings;
    const emit = (event: ListenEvent) => this.emit(event);
    this.#options = options;
    this.#registry = registry;
    if (events) {
      new Observable<ListenEvent>((to) => {
        this.#events = to;
      }).subscribe(events);
    }
    this.#admission = new Admission({ clock, budget, registry }, emit, rules, options.limits.descriptors);
    if (typeof farewell === 'function') this.#pace = new Pace(clock);
    this.#refusal = new Refusal({
      clock,
      farewell,
      registry,
      lingering,
      emit,
      random,
      limit: (peer) => this.#admission.limit(peer),
      predict: (reason, peer) => this.#predict(reason, peer),
    });
    if (arrivals) {
      this.#arrivals = new Arrivals(arrivals, {
        ready: (connection) => {
          this.#waitingRoom.arrive(connection);
          this.#parking?.update();
        },
        refuse: (connection, reason, error) => {
          this.#refusal.refuseArrival(connection, reason, error);
          this.#parking?.update();
        },
        admit: (connection) => this.#admit(connection),
        turnAway: (connection, reason) => this.#turnAway(connection, reason),
        handshakes: (change) => {
          registry.handshakes += change;
        },
      });
    }
    this.#waitingRoom = new WaitingRoom(waitingRoom, {
      hand,
      refuse: (connection, reason, yielded) => this.#refuseWaiting(connection, reason, yielded),
      yields: (connection) => this.#admission.yields(connection, registry.counters.active),
      waits: (connection) => this.#waits(connection),
      isAbandoned: (connection) => this.#isAbandoned(connection),
      // Those that have to be secured were accepted already, and the limit may have been lowered since.
      isBounded: () => this.#parking?.canPark === true,
      ...(options.holdsConcurrency && { hasPlace: () => !this.#isFull }),
    });
    this.#parking = this.#makeParking();
    this.#eviction = this.#makeEviction();
  }

  listening(address: Address, transport?: string): void {
    this.#listening = true;
    this.#admission.opened();
    this.opening?.();
    const { settings, limits } = this.#options;
    const live = this.#registry.live(settings.budget, limits.descriptors);
    this.emit({ type: 'listening', address, transport, limits: limits.view, ...live });
    this.#checkDescriptors();
    if (this.port) this.#parking?.opened(this.port);
  }

  accepted(socket: TransportSocket): void {
    const id = this.#registry.accept();
    const isIdentified = this.#isIdentified(socket.peer);
    const key = isIdentified ? this.#admission.keyOf(socket.peer) : undefined;
    let reason = this.#admission.refusal(socket);
    if (reason === undefined && isReset(socket)) reason = 'gone';
    if (reason === undefined && isIdentified) reason = this.#admission.refusalOf(socket.peer, key);
    if (reason !== undefined && (this.#arrivals || !this.#refusal.hasFarewell(reason))) {
      // Over TLS a farewell would have to be encrypted.
      return this.#refusal.refuseAtAccept(id, socket, reason);
    }
    const connection = new SocketConnection(id, socket, this.#options.settings, this);
    if (reason !== undefined) return this.#refusal.refuse(connection, reason);
    // Nothing observes the event `hoarding`.
    if (!this.#events && !EventChannels.hasSubscribers('hoarding')) connection.usage.isUnmeasured = true;
    this.#admission.enter(connection, key);
    if (this.#arrivals) this.#arrive(this.#arrivals, connection, socket, isIdentified);
    else this.#waitingRoom.arrive(connection);
    this.#parking?.update();
  }

  /** It has to be secured, or to send a PROXY header. A peer that has its share leaves what is left of that room to others, too. */
  #arrive(arrivals: Arrivals, connection: SocketConnection, socket: TransportSocket, isIdentified: boolean): void {
    if (this.#takesTooMuch(connection)) this.#refusal.refuseArrival(connection, 'per-address');
    else arrivals.accept(connection, socket, isIdentified);
  }

  /** Whether few more may arrive, and its peer has more than its share. */
  #takesTooMuch(connection: SocketConnection): boolean {
    return this.#arrivals?.isScarce === true && this.#admission.exceedsShare(connection);
  }

  /** Whether the peer is the client: not on a port with a PROXY header, unless the header is optional and the peer may send none. */
  #isIdentified(peer: Address): boolean {
    const proxy = this.#arrivals?.proxy;
    return proxy === undefined || (!proxy.isRequired && !proxy.isTrusted(peer));
  }

  error(error: Error): void {
    // A server does not end because one accept failed: the client may have given up, or memory was short.
    if (this.#listening) this.emit({ type: 'failed', error });
    else this.#options.fail(error);
  }

  taken(connection: SocketConnection): void {
    this.#registry.take(connection);
    this.#pace?.update(this.#isFull);
    this.emit(openedEvent(connection));
    this.#waitingRoom.taken(connection);
    this.#parking?.update();
  }

  missed(connection: SocketConnection): void {
    this.#waitingRoom.taken(connection);
  }

  refuse(connection: SocketConnection, reason: string): void {
    this.#refusal.refuse(connection, reason);
    this.#waitingRoom.leave(connection, true);
    this.#parking?.update();
  }

  hoards({ id, peer }: SocketConnection, frames: number, bytes: number): void {
    this.emit({ type: 'hoarding', id, peer, frames, bytes });
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
      this.#pace?.freed(this.#isFull);
      this.emit(event);
    } else {
      this.#options.lingering.delete(connection);
    }
    // Those of that peer that gave way do not have to any more.
    const mayPass = this.#admission.closed(connection);
    this.#eviction?.closed(connection);
    this.#parking?.update();
    if (this.#options.holdsConcurrency) this.#waitingRoom.update(mayPass);
    else this.#waitingRoom.updateYielding(mayPass);
  }

  /** The limits have changed: what they allow now is done at once. */
  limitsChanged(): void {
    if (!this.#listening) return;
    this.#pace?.update(this.#isFull);
    this.#waitingRoom.update(true);
    this.#parking?.update();
    this.#checkDescriptors();
  }

  /** The port is closed: refuses all connections that wait. */
  close(): void {
    this.#parking?.end();
    this.#eviction?.close();
    this.#refusal.flush();
    this.#arrivals?.close();
    this.#waitingRoom.close();
    this.#registry.table.portClosed();
  }

  get #isFull(): boolean {
    const { concurrency } = this.#options.limits.view;
    return concurrency === undefined || this.#registry.counters.active >= concurrency;
  }

  #refuseWaiting(connection: SocketConnection, reason: RefusalReason, yielded: boolean): void {
    const isDraining = reason === 'draining' || this.#parking?.isOver === true;
    this.#refusal.refuse(connection, isDraining ? 'draining' : yielded ? 'per-address' : reason);
    // Its place is free before its socket is closed, because it may linger.
    this.#parking?.update();
  }

  /** The client behind a proxy is known. */
  #admit(connection: SocketConnection): RefusalReason | undefined {
    const { peer } = connection;
    const key = this.#admission.keyOf(peer);
    const reason = this.#admission.refusalOf(peer, key);
    if (reason !== undefined) return reason;
    this.#admission.enter(connection, key);
    return this.#arrivals?.hasTls && this.#takesTooMuch(connection) ? 'per-address' : undefined;
  }

  /** A client behind a proxy does not come in. Over TLS nothing can be sent to it. */
  #turnAway(connection: SocketConnection, reason: RefusalReason): void {
    if (this.#arrivals?.hasTls) this.#refusal.refuseArrival(connection, reason);
    else this.#refusal.refuse(connection, reason);
    this.#parking?.update();
  }

  #waits(connection: SocketConnection): void {
    connection.wait();
    if (this.#eviction === undefined) return;
    // A peer that has left already is not worth the place of another.
    if (connection.abandoned) {
      this.#refusal.refuse(connection, 'gone');
      this.#waitingRoom.leave(connection, false);
    } else {
      this.#eviction.makeRoom();
    }
  }

  #isAbandoned(connection: SocketConnection): boolean {
    if (!connection.abandoned) return false;
    this.#refusal.refuseAbandoned(connection);
    return true;
  }

  #predict(reason: RefusalReason, peer: Address): number | undefined {
    // One that gave way waited for a place, too.
    const helps =
      PLACES.has(reason) || (reason === 'per-address' && this.#options.rules.perAddress?.connections.value === 'share');
    if (helps) return this.#pace?.wait(this.#waitingRoom.size + 1);
    return this.#admission.wait(reason, peer);
  }

  #makeParking(): Parking | undefined {
    const { overflow, waitingRoom, registry } = this.#options;
    if (overflow !== 'park') return undefined;
    const parking = new Parking({
      rooms: [
        { size: () => this.#waitingRoom.size, max: () => waitingRoom.max },
        { size: () => this.#arrivals?.size ?? 0, max: () => this.#arrivals?.max ?? 1 },
      ],
      cannot: (error) => this.emit({ type: 'failed', error }),
    });
    this.#options.limits.parking = parking;
    registry.parking = parking;
    return parking;
  }

  #makeEviction(): Eviction | undefined {
    const { overflow, settings, registry } = this.#options;
    if (overflow === 'refuse' || overflow === 'park') return undefined;
    return new Eviction({
      clock: settings.clock,
      registry,
      worth: overflow === 'evict' ? undefined : overflow.evict,
      // One that gives way is not worth the place of another.
      waiting: () => this.#waitingRoom.size - this.#waitingRoom.yielding,
      patience: () => this.#waitingRoom.timeLeft,
      isFull: () => this.#isFull,
      failed: (error) => this.emit({ type: 'failed', callback: 'evict', error }),
    });
  }

  #checkDescriptors(): void {
    const event = this.#options.limits.overcommitted();
    if (event) this.emit(event);
  }

  emit(event: ListenEvent): void {
    this.#options.channels?.publish(event);
    this.#events?.next(event);
  }
}
