import type { Log } from './append/log.ts';
import type { Client, Peer } from './client.ts';
import { type ClientLimits, Limits } from './limits.ts';
import { PubSub } from './pubsub.ts';
import { Refusal, replyTooLong } from './refusal.ts';
import { failure, lengthOf, type Reply } from './resp/reply.ts';
import type { Args, Request } from './resp/request.ts';
import { type Entry, Store, type StoreOptions } from './store/store.ts';

export interface DatabaseOptions extends StoreOptions {
  /** What CONFIG GET and INFO say, by name. */
  readonly config?: Readonly<Record<string, string>>;
  /** What a client may cost. */
  readonly limits?: ClientLimits;
}

/** What the database knows of a command that it carries out for a session. */
export interface Operation<Session> {
  /** Whether it may change what a key holds. */
  readonly writes: boolean;
  /** Whether it does nothing but tell what keys hold. */
  readonly reads: boolean;
  /** Carries it out. @returns The reply, encoded. @throws {Refusal} If it cannot be done; then nothing has changed. */
  run(args: Args, session: Session): Reply;
}

/** All that the clients of one server share. */
export class Database {
  readonly store: Store;
  readonly pubsub = new PubSub();
  readonly sessions = new Map<number, Client>();
  readonly config: Map<string, string>;
  readonly limits: Limits;
  readonly startedAt: number;
  /** The time of the last {@link tick}, in milliseconds since 1970: exact enough to say how long a client is idle. */
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

  /** From now on every change is written down. */
  keep(log: Log): void {
    this.#log = log;
  }

  /** What is to be done ten times a second. */
  tick(): void {
    this.recently = this.store.now;
    this.store.sweep();
    this.#log?.flush();
    for (const client of this.sessions.values()) this.limits.check(client, this.recently);
  }

  /** The number of a client that comes. */
  nextId(): number {
    this.stats.connections++;
    return ++this.#lastId;
  }

  /**
   * Carries a command out, and writes it to the log if it changed anything.
   *
   * @returns The reply, which may say that it could not be done.
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
      // The caller has compared their number with the arity, which is what `Args` promises.
      const reply = command.run(args as Args, session);
      if (log !== undefined && command.writes && this.store.changes !== changes) log.append(this.#rewritten ?? args);
      const { maxReply } = session.peer;
      if (command.reads && lengthOf(reply) > maxReply) throw replyTooLong(maxReply);
      return reply;
    } catch (error) {
      if (error instanceof Refusal) return failure(error.message);
      // A string at its end: V8 holds 2^29 characters in one. Where something has been done already that is no answer.
      if (error instanceof RangeError && this.store.changes === changes) return failure(`ERR ${error.message}`);
      throw error;
    }
  }

  /** What the log shall say instead of the running command: the same effect, whenever it is replayed. */
  rewrite(args: Request): void {
    this.#rewritten = args;
  }

  /** Lets a key expire; at once if the time is over. The log gets the time itself, never a span. */
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
