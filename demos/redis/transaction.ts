import type { Command } from './commands/command.ts';
import { Refusal } from './refusal.ts';
import { array, type ByteString } from './resp/reply.ts';
import type { Request } from './resp/request.ts';
import type { Session } from './session.ts';
import type { Watch } from './store/watches.ts';

/** What one client has queued between MULTI and EXEC, and the keys that must not change meanwhile. */
export class Transaction {
  readonly #session: Session;
  #queue: { readonly command: Command; readonly request: Request }[] | undefined;
  #spoilt = false;
  readonly #watches = new Map<ByteString, Watch>();

  constructor(session: Session) {
    this.#session = session;
  }

  get open(): boolean {
    return this.#queue !== undefined;
  }

  /** How many commands are queued; -1 outside. */
  get length(): number {
    return this.#queue?.length ?? -1;
  }

  begin(): void {
    if (this.#queue !== undefined) throw new Refusal('ERR MULTI calls can not be nested');
    this.#queue = [];
  }

  queue(command: Command, request: Request): void {
    this.#queue?.push({ command, request });
  }

  /** A command could not even be queued: the others must not run without it. */
  spoil(): void {
    if (this.#queue !== undefined) this.#spoilt = true;
  }

  watch(keys: readonly ByteString[]): void {
    if (this.#queue !== undefined) throw new Refusal('ERR WATCH inside MULTI is not allowed');
    const { store } = this.#session.db;
    for (const key of keys) {
      // Whether it has expired is looked at now: what was gone before cannot go meanwhile.
      store.find(key);
      if (!this.#watches.has(key)) this.#watches.set(key, store.watches.watch(key));
    }
  }

  unwatch(): void {
    for (const watch of this.#watches.values()) this.#session.db.store.watches.unwatch(watch);
    this.#watches.clear();
  }

  /** Forgets everything. */
  discard(): void {
    this.unwatch();
    this.#queue = undefined;
    this.#spoilt = false;
  }

  /** Carries out what is queued, with nothing in between; or nothing of it. */
  execute(): ByteString {
    const queue = this.#queue;
    const { db, form } = this.#session;
    if (queue === undefined) throw new Refusal('ERR EXEC without MULTI');
    const [spoilt, touched] = [this.#spoilt, this.#touched()];
    this.discard();
    if (spoilt) throw new Refusal('EXECABORT Transaction discarded because of previous errors.');
    if (touched) return form.nullArray;
    const work = (): ByteString => array(queue.map(({ command, request }) => db.run(command, request, this.#session)));
    return db.store.holdClock(db.store.now, () => (db.log === undefined ? work() : db.log.together(work)));
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
