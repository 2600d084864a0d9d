import { channel } from 'node:diagnostics_channel';
import type { ServerEvent } from './events.ts';
import type { Address, Where } from './transport/transport.ts';

/** The server whose event is published. */
export interface ChannelServer {
  /** What was passed to `listen` or `serve`. */
  readonly where: Where;
  /** The bound address, from the event `listening` on. */
  readonly address: Address | undefined;
}

/** What is published on the channel `sluice.` and the type of the event, such as `sluice.opened`. */
export interface ChannelMessage<Type extends ServerEvent['type'] = ServerEvent['type']> {
  /** The same object that `listen` and `serve` emit. */
  readonly event: Extract<ServerEvent, { type: Type }>;
  /** The server whose event it is: the same object for all events of one subscription of `listen` or `serve`. */
  readonly server: ChannelServer;
}

const named = (type: ServerEvent['type']) => channel(`sluice.${type}`);

/** Kept here, because Node looks up a channel by its name in a map of weak references. */
const channels = {
  listening: named('listening'),
  opened: named('opened'),
  closed: named('closed'),
  refused: named('refused'),
  failed: named('failed'),
  exhausted: named('exhausted'),
  recovered: named('recovered'),
  overcommitted: named('overcommitted'),
  certificate: named('certificate'),
  hoarding: named('hoarding'),
  progress: named('progress'),
  draining: named('draining'),
  drained: named('drained'),
} as const satisfies Record<ServerEvent['type'], unknown>;

/**
 * Publishes the events of one server on channels of `node:diagnostics_channel`, for agents that observe a process without being
 * part of its program. Without a subscriber nothing is computed.
 *
 * A channel comes before the subscribers of the events. What its subscriber throws Node reports as an uncaught exception, in a
 * later `process.nextTick`; the server and the other subscribers are not affected.
 */
export class EventChannels {
  readonly #server: { readonly where: Where; address: Address | undefined };

  constructor(where: Where) {
    this.#server = { where, address: undefined };
  }

  /** Whether something subscribes to the events of this type. */
  static hasSubscribers(type: ServerEvent['type']): boolean {
    return channels[type].hasSubscribers;
  }

  publish(event: ServerEvent): void {
    if (event.type === 'listening') this.#server.address = event.address;
    const to = channels[event.type];
    if (to.hasSubscribers) to.publish({ event, server: this.#server } satisfies ChannelMessage);
  }
}
