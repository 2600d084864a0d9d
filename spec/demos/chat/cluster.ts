import { BehaviorSubject, filter, merge, observeOn, queueScheduler, Subject } from 'rxjs';
import type { Bus } from '../../../demos/chat/bus.ts';
import type { Message } from '../../../demos/chat/message.ts';
import type { News } from '../../../demos/chat/news.ts';
import { type Presence, presence } from '../../../demos/chat/presence.ts';
import { Clock } from '../../support/clock.ts';

export const TTL = 1000;

/** The servers of one chat, on virtual time. Each can be disconnected from the rest. */
export class Cluster {
  readonly clock = new Clock();
  readonly #wire = new Subject<Message>();

  /** Starts a server, and waits until it has exchanged users with the rest. */
  async open(name: string): Promise<Server> {
    const server = new Server(name, this.#wire, this.clock);
    await this.clock.settle();
    return server;
  }
}

/** One server, with the news that it emits. */
export class Server {
  readonly presence: Presence;
  readonly news: News[] = [];
  readonly #connected = new BehaviorSubject(true);
  readonly #end: () => void;
  /** Whether the next message is delivered. */
  delivers: () => boolean = () => true;

  constructor(name: string, wire: Subject<Message>, clock: Clock) {
    const through = () => this.#connected.value && this.delivers();
    const here = new Subject<Message>();
    const elsewhere = wire.pipe(
      filter(({ server }) => server !== this.presence.server && through()),
      // Queued, so that every server receives a reply after the message that it replies to.
      observeOn(queueScheduler),
    );
    const bus: Bus = {
      connected: this.#connected,
      messages: merge(here, elsewhere),
      send: (message) => {
        here.next(message);
        if (through()) wire.next(message);
      },
      close: async () => {},
    };
    this.presence = presence(bus, `${name}/1`, TTL, clock);
    const subscription = this.presence.news.subscribe((news) => this.news.push(news));
    this.#end = () => subscription.unsubscribe();
  }

  /** Adds a user with this name, in this room. */
  addUser(id: number, name: string, room: string): void {
    this.presence.enter(id);
    this.presence.rename(id, name);
    this.presence.move(id, room);
  }

  /** The users in a room, as this server sees them. */
  who(room: string): string[] {
    return this.presence
      .people()
      .filter((one) => one.room === room)
      .map(({ name, server }) => `${name}@${server[0]}`)
      .sort();
  }

  /** The news since the last call. */
  takeNews(): News[] {
    return this.news.splice(0);
  }

  disconnect(): void {
    this.#connected.next(false);
  }

  reconnect(): void {
    // `connected` emits changes only.
    if (!this.#connected.value) this.#connected.next(true);
  }

  /** Shuts down: its users leave, and then it sends nothing. */
  end(): void {
    for (const { id, server } of this.presence.people()) if (server === this.presence.server) this.presence.leave(id);
    this.#end();
  }

  /** Ends like a killed process: it sends nothing more. */
  kill(): void {
    this.delivers = () => false;
    this.#end();
  }
}
