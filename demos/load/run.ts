import { firstValueFrom, from, race, Subject, timer } from 'rxjs';
import { codeOf } from '../support/index.ts';
import { Conversation, type Target } from './conversation.ts';
import { Tally } from './tally.ts';

/** A run of load. */
export interface RunOptions extends Target {
  connections: number;
  /** How long to send, in milliseconds. */
  duration: number;
  /** How long to wait for the last replies and for the connections to end, in milliseconds. */
  grace: number;
}

/** How many connections are being opened at a time. More would overflow the queue of a server with a short backlog. */
const OPENING = 256;

/** Opens the connections, keeps them busy, and lets them end. What comes of it is in its tally. */
export class Run {
  readonly options: RunOptions;
  readonly tally = new Tally();
  /** How many connections were opened. */
  connected = 0;
  /** When sending began and when it ended, on the clock of `performance.now()`; 0 before that. */
  startedAt = 0;
  stoppedAt = 0;
  /** Processor time this process used between the two, in milliseconds. */
  cpu = 0;
  readonly #conversations: Conversation[] = [];
  readonly #stops = new Subject<void>();
  #stopped = 0;

  constructor(options: RunOptions) {
    this.options = options;
  }

  /** How many connections are open and have not begun to end. */
  get live(): number {
    return this.#conversations.reduce((sum, conversation) => sum + Number(conversation.live), 0);
  }

  /** Stops sending before the time. While the last replies are waited for, it ends that. */
  stop(): void {
    this.#stopped++;
    this.#stops.next();
  }

  /** Resolves when the last connection is gone. With none that could be opened, that is at once. */
  async finish(): Promise<void> {
    await this.#open();
    const conversations = this.#conversations;
    if (conversations.length === 0) return;
    const gone = from(Promise.all(conversations.map((conversation) => conversation.closed)));

    // They all begin together, so that the time measured is time at full load.
    this.startedAt = performance.now();
    const before = process.cpuUsage();
    for (const conversation of conversations) conversation.start();
    if (this.#stopped < 1) await firstValueFrom(race(timer(this.options.duration), gone, this.#stops));

    this.stoppedAt = performance.now();
    const { user, system } = process.cpuUsage(before);
    this.cpu = (user + system) / 1000;
    for (const conversation of conversations) conversation.stop();
    if (this.#stopped < 2) await firstValueFrom(race(timer(this.options.grace), gone, this.#stops));
    for (const conversation of conversations) conversation.abandon();
    await firstValueFrom(gone);
  }

  async #open(): Promise<void> {
    let id = 0;
    const openSome = async (): Promise<void> => {
      while (id < this.options.connections && this.#stopped === 0) await this.#openOne(id++);
    };
    await Promise.all(Array.from({ length: OPENING }, openSome));
  }

  async #openOne(id: number): Promise<void> {
    const conversation = new Conversation(id, this.options, this.tally);
    try {
      await conversation.opened;
      this.connected++;
      this.#conversations.push(conversation);
    } catch (error) {
      const code = codeOf(error) ?? String(error);
      this.tally.refused.set(code, (this.tally.refused.get(code) ?? 0) + 1);
    }
  }
}
