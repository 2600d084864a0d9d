import type { Log } from './append/log.ts';
import type { Client, Peer } from './client.ts';
import { type ClientLimits, Limits } from './limits.ts';
import { PubSub } from './pubsub.ts';
import { Refusal, replyTooLong } from './refusal.ts';
import { failure, lengthOf, type Reply } from './resp/reply.ts';
import type { Args, Request } from './resp/request.ts';
import { type Entry, Store, type StoreOptions } from './store/store.ts';

export interface DatabaseOptions extends StoreOptions {
  /** The settings that CONFIG GET and INFO report, by name. */
  readonly config?: Readonly<Record<string, string>>;
  /** How much clients may use. */
  readonly limits?: ClientLimits;
}

/** What the database needs of a command to execute it for a session. */
export interface Operation<Session> {
  /** Whether it may change the value of a key. */
  readonly writes: boolean;
  /** Whether it only returns values of keys. */
  readonly reads: boolean;
  /** Executes it. @returns The encoded reply. @throws {Refusal} If it cannot be executed; then nothing has changed. */
  run(args: Args, session: Session): Reply;
}

/** The state that all clients of one server share. */
export class Database {
  readonly store: Store;
  readonly pubsub = new PubSub();
  readonly sessions = new Map<number, Client>();
  readonly config: Map<string, string>;
  readonly limits: Limits;
  readonly startedAt: number;
  /** The time of the last {@link tick}, in milliseconds since 1970: exact enough for how long a client is idle. */
  recently: number;
  /** Counters for INFO. */
  readonly stats = { commands: 0, connections: 0, refused: 0, expired: 0 };
  #log: Log | undefined;
  #rewritten: Request | undefined;
  #lastId = 0;

  constructor({ config = {}, limits = {}, ...options }: DatabaseOptions = {}) {
    this.store = new Store(options);
    this.startedAt = this.store.now;
    this.recently = this.startedAt;
    this.config = new Map(Object.entries(config));
    this.limits = new Limits(limits);
    this.store.expired = (key) => {
      this.stats.expired++;
      this.#log?.append(['DEL', key]);
    };
  }

  get log(): Log | undefined {
    return this.#log;
  }

  /** Appends every change to this log from now on. */
  keep(log: Log): void {
    this.#log = log;
  }

  /** The periodic work, to be called ten times a second. */
  tick(): void {
    this.recently = this.store.now;
    this.store.sweep();
    this.#log?.flush();
    for (const client of this.sessions.values()) this.limits.check(client, this.recently);
  }

  /** The ID for a new client. */
  nextId(): number {
    this.stats.connections++;
    return ++this.#lastId;
  }

  /**
   * Executes a command, and logs it if it changed anything.
   *
   * @returns The reply, which may be an error.
   */
  run<Session extends { readonly peer: Peer }>(command: Operation<Session>, args: Request, session: Session): Reply {
    this.stats.commands++;
    const log = this.#log;
    const { changes } = this.store;
    this.#rewritten = undefined;
    try {
      if (log?.problem !== undefined && command.writes) {
        throw new Refusal(`MISCONF Errors writing to the AOF file: ${log.problem}`);
      }
      // The caller has checked the arity, which `Args` promises.
      const reply = command.run(args as Args, session);
      if (log !== undefined && command.writes && this.store.changes !== changes) log.append(this.#rewritten ?? args);
      const { maxReply } = session.peer;
      if (command.reads && lengthOf(reply) > maxReply) throw replyTooLong(maxReply);
      return reply;
    } catch (error) {
      if (error instanceof Refusal) return failure(error.message);
      // A string would exceed V8's limit of 2^29 characters. A change must not be answered with an error.
      if (error instanceof RangeError && this.store.changes === changes) return failure(`ERR ${error.message}`);
      throw error;
    }
  }

  /** Logs other arguments instead of those of the running command: they must have the same effect whenever they are replayed. */
  rewrite(args: Request): void {
    this.#rewritten = args;
  }

  /** Sets when a key expires, and removes it at once if that time has passed. The log gets the time, never a duration. */
  expire(entry: Entry, time: number): void {
    if (time <= this.store.now) {
      this.store.delete(entry.key);
      this.rewrite(['DEL', entry.key]);
    } else {
      this.store.expireAt(entry, time);
      this.rewrite(['PEXPIREAT', entry.key, String(time)]);
    }
  }
}
