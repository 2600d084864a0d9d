import type { Peer } from './client.ts';
import { costOfCommand, costOfName } from './costs.ts';
import type { Database, Operation } from './database.ts';
import { Refusal, replyTooLong } from './refusal.ts';
import { array, type ByteString, type Form, failure, lengthOf, QUEUED, type Reply } from './resp/reply.ts';
import type { Request } from './resp/request.ts';
import type { Watch } from './store/watches.ts';

interface Queued<Session> {
  readonly command: Operation<Session>;
  readonly request: Request;
}

/** What a transaction needs of the session that it belongs to. */
export interface TransactionOwner {
  readonly db: Database;
  readonly peer: Peer;
  readonly form: Form;
  /** Reserves bytes; a negative number releases them. @throws {Refusal} If they do not fit. */
  hold(bytes: number): void;
  /** Reserves the cost of the names that are not in `known`. @throws {Refusal} If they do not fit; then nothing is reserved. */
  expectNames(
    names: Iterable<ByteString>,
    known: { has(name: ByteString): boolean },
    cost: (name: ByteString) => number,
  ): void;
}

/** The commands that one client has queued since MULTI, and the keys that must not change before EXEC. */
export class Transaction<Session extends TransactionOwner> {
  readonly #session: Session;
  #queue: Queued<Session>[] | undefined;
  #spoilt = false;
  /** What the queued commands cost, in bytes. */
  #bytes = 0;
  readonly #watches = new Map<ByteString, Watch>();

  constructor(session: Session) {
    this.#session = session;
  }

  get open(): boolean {
    return this.#queue !== undefined;
  }

  /** How many commands are queued; -1 outside of a transaction. */
  get length(): number {
    return this.#queue?.length ?? -1;
  }

  begin(): void {
    if (this.#queue !== undefined) throw new Refusal('ERR MULTI calls can not be nested');
    this.#queue = [];
  }

  /** What the queued commands cost, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Queues a command. After a command that could not be queued none is stored, because none will run. */
  queue(command: Operation<Session>, request: Request): Reply {
    if (this.#spoilt) return QUEUED;
    const bytes = costOfCommand(request);
    try {
      this.#session.hold(bytes);
    } catch (error) {
      this.spoil();
      if (error instanceof Refusal) return failure(error.message);
      throw error;
    }
    this.#bytes += bytes;
    this.#queue?.push({ command, request });
    return QUEUED;
  }

  /** Marks the transaction as failed: a command could not even be queued, and the others must not run without it. */
  spoil(): void {
    if (this.#queue === undefined) return;
    this.#spoilt = true;
    this.#empty();
    this.#queue = [];
  }

  watch(keys: readonly ByteString[]): void {
    if (this.#queue !== undefined) throw new Refusal('ERR WATCH inside MULTI is not allowed');
    const { store } = this.#session.db;
    this.#session.expectNames(keys, this.#watches, costOfName);
    for (const key of keys) {
      // Removes the key if it has expired: otherwise its removal before EXEC would count as a change.
      store.find(key);
      if (!this.#watches.has(key)) this.#watches.set(key, store.watches.watch(key));
    }
  }

  unwatch(): void {
    for (const [key, watch] of this.#watches) {
      this.#session.db.store.watches.unwatch(watch);
      this.#session.hold(-costOfName(key));
    }
    this.#watches.clear();
  }

  /** Discards the queue and the watches. */
  discard(): void {
    this.unwatch();
    this.#empty();
    this.#queue = undefined;
    this.#spoilt = false;
  }

  /** Executes all queued commands with nothing in between, or none of them. */
  execute(): Reply {
    const queue = this.#queue;
    const { db, form } = this.#session;
    if (queue === undefined) throw new Refusal('ERR EXEC without MULTI');
    const [spoilt, touched] = [this.#spoilt, this.#touched()];
    this.discard();
    if (spoilt) throw new Refusal('EXECABORT Transaction discarded because of previous errors.');
    if (touched) return form.nullArray;
    const { maxReply } = this.#session.peer;
    let length = 0;
    // Beyond the longest reply, commands are not executed: an executed command must not be answered with an error.
    const run = ({ command, request }: Queued<Session>): Reply => {
      const reply =
        length > maxReply ? failure(replyTooLong(maxReply).message) : db.run(command, request, this.#session);
      length += lengthOf(reply);
      return reply;
    };
    const work = (): Reply => array(queue.map(run));
    return db.store.holdClock(db.store.now, () => (db.log === undefined ? work() : db.log.together(work)));
  }

  #empty(): void {
    this.#session.hold(-this.#bytes);
    this.#bytes = 0;
  }

  #touched(): boolean {
    const { store } = this.#session.db;
    for (const [key, { watched, seen }] of this.#watches) {
      store.find(key);
      if (watched.changes !== seen) return true;
    }
    return false;
  }
}
