import type { Client, Peer } from './client.ts';
import { costOfName, costOfPattern } from './costs.ts';
import type { Database, Operation } from './database.ts';
import type { Listener } from './pubsub.ts';
import { noRoom } from './refusal.ts';
import { type ByteString, type Form, failure, OK, type Reply, resp2 } from './resp/reply.ts';
import type { Request } from './resp/request.ts';
import { Transaction } from './transaction.ts';

/** What a session needs of a command to find it and to check its arguments. */
export interface SessionCommand extends Operation<Session> {
  /** In lower case. */
  readonly name: ByteString;
  /** How many arguments it takes, with the name itself; if negative, at least that many. */
  readonly arity: number;
  /** The commands that its first argument selects, by name in lower case. */
  readonly subcommands?: ReadonlyMap<string, SessionCommand>;
}

/** Finds a command by its name, in any mixture of cases. */
export type CommandLookup = (name: ByteString) => SessionCommand | undefined;

/** What a RESP2 client may send while it is subscribed. The reply to any other command would look like a message. */
const listening = new Set(['subscribe', 'unsubscribe', 'psubscribe', 'punsubscribe', 'ping', 'quit', 'reset']);
/** What is executed at once within a transaction. */
const immediate = new Set(['exec', 'discard', 'multi', 'watch', 'quit', 'reset']);

/**
 * Words at the beginning of an HTTP request. A web page can trick a browser into sending commands here, in the body of a
 * request. Such a connection is closed.
 */
const webRequest = new Set(['post', 'host:']);

/** One client: requests in, replies out. It does not depend on sockets. */
export class Session implements Client, Listener {
  readonly db: Database;
  readonly peer: Peer;
  readonly id: number;
  readonly since: number;
  readonly transaction: Transaction<Session>;
  readonly channels = new Set<ByteString>();
  readonly patterns = new Set<ByteString>();
  form: Form = resp2;
  clientName = '';
  readonly library = new Map<string, ByteString>();
  lastCommand = 'NULL';
  lastActive: number;
  behindSince = Number.POSITIVE_INFINITY;
  readonly #commandOf: CommandLookup;
  #moved = 0;
  #held = 0;
  #closing = false;

  constructor(db: Database, peer: Peer, commandOf: CommandLookup) {
    this.db = db;
    this.peer = peer;
    this.#commandOf = commandOf;
    this.id = db.nextId();
    this.since = db.store.now;
    this.lastActive = this.since;
    this.transaction = new Transaction(this);
    db.sessions.set(this.id, this);
  }

  /** Whether the session is ending: no further request is answered. */
  get closing(): boolean {
    return this.#closing;
  }

  get subscriptions(): number {
    return this.channels.size + this.patterns.size;
  }

  /** @returns The encoded reply; empty once the session is ending. */
  handle(request: Request): Reply {
    if (this.#closing) return '';
    const { transaction } = this;
    const command = chosen(request, this.#commandOf);
    if (command === undefined) {
      this.#closing = true;
      return '';
    }
    if (typeof command === 'string') return this.#reject(request, command);
    this.lastCommand = command.name;
    this.lastActive = this.db.recently;
    if (this.form.version === 2 && this.subscriptions > 0 && !listening.has(command.name)) {
      return this.#reject(
        request,
        `Can't execute '${command.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`,
      );
    }
    if (transaction.open && !immediate.has(command.name)) return transaction.queue(command, request);
    return this.db.run(command, request, this);
  }

  /** Rejects a command that cannot even be queued. An EXEC that is itself wrong ends the transaction. */
  #reject([name]: Request, problem: string): Reply {
    if (name?.toLowerCase() === 'exec') {
      this.transaction.discard();
      return failure(`EXECABORT Transaction discarded because of: ${problem}`);
    }
    this.transaction.spoil();
    return failure(`ERR ${problem}`);
  }

  push(message: Reply): void {
    if (this.#closing) return;
    this.peer.push(message);
    this.db.limits.pushed(this);
  }

  hasMoved(): boolean {
    const { moved } = this.peer;
    const before = this.#moved;
    this.#moved = moved;
    return moved !== before;
  }

  /**
   * Reserves bytes for what is stored for the client beside the keys; a negative number releases them.
   *
   * @throws {Refusal} If they do not fit. Callers reserve before they change anything.
   */
  hold(bytes: number): void {
    if (!this.peer.hold(bytes)) throw noRoom();
    this.#held += bytes;
  }

  rename(name: ByteString): void {
    this.hold(name.length - this.clientName.length);
    this.clientName = name;
  }

  setInfo(name: string, value: ByteString): void {
    this.hold(value.length - (this.library.get(name)?.length ?? 0));
    this.library.set(name, value);
  }

  quit(): Reply {
    this.#closing = true;
    return OK;
  }

  kill(): void {
    this.#closing = true;
    this.peer.close();
  }

  /** Restores the initial state. */
  reset(): void {
    this.transaction.discard();
    this.#unsubscribe();
    this.form = resp2;
    this.rename('');
  }

  /** Releases everything, after the client has disconnected. */
  leave(): void {
    this.#closing = true;
    this.transaction.discard();
    this.#unsubscribe();
    this.hold(-this.#held);
    this.db.sessions.delete(this.id);
  }

  /** Reserves the cost of the names that are not in `known`. @throws {Refusal} If they do not fit; then nothing is reserved. */
  expectNames(
    names: Iterable<ByteString>,
    known: { has(name: ByteString): boolean },
    cost: (name: ByteString) => number,
  ): void {
    let bytes = 0;
    for (const name of new Set(names)) if (!known.has(name)) bytes += cost(name);
    this.hold(bytes);
  }

  subscribe(channel: ByteString): void {
    this.channels.add(channel);
    this.db.pubsub.subscribe(channel, this);
  }

  subscribePattern(pattern: ByteString): void {
    this.patterns.add(pattern);
    this.db.pubsub.subscribePattern(pattern, this);
  }

  unsubscribe(channel: ByteString): void {
    if (this.channels.delete(channel)) this.hold(-costOfName(channel));
    this.db.pubsub.unsubscribe(channel, this);
  }

  unsubscribePattern(pattern: ByteString): void {
    if (this.patterns.delete(pattern)) this.hold(-costOfPattern(pattern));
    this.db.pubsub.unsubscribePattern(pattern, this);
  }

  #unsubscribe(): void {
    for (const channel of this.channels) this.unsubscribe(channel);
    for (const pattern of this.patterns) this.unsubscribePattern(pattern);
  }
}

/** @returns The command that a request names, or why there is none, whatever the keys hold; `undefined` for an HTTP request. */
function chosen(request: Request, commandOf: CommandLookup): SessionCommand | string | undefined {
  const [name = ''] = request;
  let command = commandOf(name);
  if (command === undefined) return webRequest.has(name.toLowerCase()) ? undefined : unknownCommand(request);
  const word = request[1];
  if (command.subcommands !== undefined && word !== undefined) {
    const { name, subcommands } = command;
    command = subcommands.get(word.toLowerCase());
    if (command === undefined) {
      return `unknown subcommand '${upToZero(word.slice(0, 128))}'. Try ${name.toUpperCase()} HELP.`;
    }
  }
  const fits = command.arity < 0 ? request.length >= -command.arity : request.length === command.arity;
  return fits ? command : `wrong number of arguments for '${command.name}' command`;
}

/** The message of Redis: it shows 128 characters, of each argument those before its first zero byte. */
function unknownCommand([name = '', ...args]: Request): string {
  let shown = '';
  for (const arg of args) {
    if (shown.length >= 128) break;
    shown += `'${upToZero(arg.slice(0, 128 - shown.length))}' `;
  }
  return `unknown command '${upToZero(name.slice(0, 128))}', with args beginning with: ${shown}`;
}

const upToZero = (text: ByteString): Reply => text.split('\0', 1)[0] ?? '';
