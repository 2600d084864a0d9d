import { BehaviorSubject, filter, merge, observeOn, queueScheduler, Subject } from 'rxjs';
import type { Bus } from '../../../demos/chat/bus.ts';
import type { Message } from '../../../demos/chat/message.ts';
import type { News } from '../../../demos/chat/news.ts';
import { type Presence, presence } from '../../../demos/chat/presence.ts';
import { Clock } from '../../support/clock.ts';

export const TTL = 1000;

/** Servers of one chat, on virtual time, whose lines can be cut. */
export class House {
  readonly clock = new Clock();
  readonly #wire = new Subject<Message>();

  /** A server that has come, and has had the time to look round. */
  async open(name: string): Promise<Server> {
    const server = new Server(name, this.#wire, this.clock);
    await this.clock.settle();
    return server;
  }
}

/** One of them, with what it says. */
export class Server {
  readonly presence: Presence;
  readonly news: News[] = [];
  readonly #line = new BehaviorSubject(true);
  readonly #end: () => void;
  /** Whether a message gets through. */
  lets: () => boolean = () => true;

  constructor(name: string, wire: Subject<Message>, clock: Clock) {
    const through = () => this.#line.value && this.lets();
    const here = new Subject<Message>();
    const elsewhere = wire.pipe(
      filter(({ server }) => server !== this.presence.server && through()),
      // An answer is heard after what it answers to, by all.
      observeOn(queueScheduler),
    );
    const bus: Bus = {
      connected: this.#line,
      heard: merge(here, elsewhere),
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

  /** Comes with a name, and goes to a room. */
  seat(id: number, name: string, room: string): void {
    this.presence.enter(id);
    this.presence.rename(id, name);
    this.presence.move(id, room);
  }

  /** Who is in a room, as this server sees it. */
  who(room: string): string[] {
    return this.presence
      .people()
      .filter((one) => one.room === room)
      .map(({ name, server }) => `${name}@${server[0]}`)
      .sort();
  }

  /** What was said since the last time. */
  takeNews(): News[] {
    return this.news.splice(0);
  }

  cut(): void {
    this.#line.next(false);
  }

  mend(): void {
    // A line that was not cut says nothing.
    if (!this.#line.value) this.#line.next(true);
  }

  /** Ends in good order: its people leave, and then it is silent. */
  end(): void {
    for (const { id, server } of this.presence.people()) if (server === this.presence.server) this.presence.leave(id);
    this.#end();
  }

  /** Ends as a process does that is killed: it says nothing more. */
  kill(): void {
    this.lets = () => false;
    this.#end();
  }
}
