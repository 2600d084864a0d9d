import { BehaviorSubject, filter } from 'rxjs';
import type { Bus } from '../../../demos/chat/bus.ts';
import { hub } from '../../../demos/chat/bus.ts';
import type { News } from '../../../demos/chat/news.ts';
import { Presence } from '../../../demos/chat/presence.ts';
import { serverKey } from '../../../demos/chat/text.ts';
import { Clock } from '../../support/clock.ts';

export const TTL = 1000;

/** Servers of one chat, on virtual time, whose lines can be cut. */
export class House {
  readonly clock = new Clock();
  readonly #join = hub();

  /** A server that has come, and has had the time to look round. */
  async open(name: string): Promise<Server> {
    const server = new Server(name, this.#join(), this.clock);
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

  constructor(name: string, bus: Bus, clock: Clock) {
    const through = () => this.#line.value && this.lets();
    const wire: Bus = {
      ...bus,
      connected: this.#line,
      heard: bus.heard.pipe(filter(through)),
      send: (message) => (through() ? bus.send(message) : undefined),
    };
    this.presence = new Presence(wire, { server: serverKey(name, '1'), ttl: TTL, scheduler: clock });
    const subscription = this.presence.news().subscribe((news) => this.news.push(news));
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
    return this.presence.people
      .inRoom(room)
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

  /** Ends in good order. */
  end(): void {
    this.#end();
  }

  /** Ends as a process does that is killed: it says nothing more. */
  kill(): void {
    this.lets = () => false;
    this.#end();
  }
}
