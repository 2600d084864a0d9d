import { firstValueFrom, from, race, Subject, timer } from 'rxjs';
import { codeOf } from '../support/index.ts';
import { Conversation, type Target } from './conversation.ts';
import { Tally } from './tally.ts';

/** Settings of a run. */
export interface RunOptions extends Target {
  connections: number;
  /** Time during which requests are sent, in milliseconds. */
  duration: number;
  /** Time for the last replies and for the connections to end, in milliseconds. */
  grace: number;
}

/** Connections that are opened at the same time. More would overflow the queue of a server with a short backlog. */
const OPENING = 256;

/** Opens the connections, keeps them busy, and ends them. The results are in its tally. */
export class Run {
  readonly options: RunOptions;
  readonly tally = new Tally();
  /** Connections that were opened. */
  connected = 0;
  /** Start and end of sending, on the clock of `performance.now()`; 0 before that. */
  startedAt = 0;
  stoppedAt = 0;
  /** Processor time of this process between the two, in milliseconds. */
  cpu = 0;
  readonly #conversations: Conversation[] = [];
  readonly #stops = new Subject<void>();
  #stopped = 0;

  constructor(options: RunOptions) {
    this.options = options;
  }

  /** Connections that are open, and that neither side has ended. */
  get live(): number {
    return this.#conversations.reduce((sum, conversation) => sum + Number(conversation.live), 0);
  }

  /** Stops sending early. A second call stops waiting for the last replies. */
  stop(): void {
    this.#stopped++;
    this.#stops.next();
  }

  /** Resolved when the last connection is closed, or at once if none could be opened. */
  async finish(): Promise<void> {
    await this.#open();
    const conversations = this.#conversations;
    if (conversations.length === 0) return;
    const closed = from(Promise.all(conversations.map((conversation) => conversation.closed)));

    // All connections start together, so that only time at full load is measured.
    this.startedAt = performance.now();
    const before = process.cpuUsage();
    for (const conversation of conversations) conversation.start();
    if (this.#stopped < 1) await firstValueFrom(race(timer(this.options.duration), closed, this.#stops));

    this.stoppedAt = performance.now();
    const { user, system } = process.cpuUsage(before);
    this.cpu = (user + system) / 1000;
    for (const conversation of conversations) conversation.stop();
    if (this.#stopped < 2) await firstValueFrom(race(timer(this.options.grace), closed, this.#stops));
    for (const conversation of conversations) conversation.abandon();
    await firstValueFrom(closed);
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
