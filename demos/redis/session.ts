import type { Client, Peer } from './client.ts';
import { costOfName, costOfPattern } from './costs.ts';
import type { Database, Operation } from './database.ts';
import type { Listener } from './pubsub.ts';
import { noRoom } from './refusal.ts';
import { type ByteString, type Form, failure, OK, type Reply, resp2 } from './resp/reply.ts';
import type { Request } from './resp/request.ts';
import { Transaction } from './transaction.ts';

/** What a session needs to find a command and to check its arguments. */
export interface SessionCommand extends Operation<Session> {
  /** In lower case. */
  readonly name: ByteString;
  /** How many arguments with the name itself; at least so many when negative. */
  readonly arity: number;
  /** What its first argument chooses from, by the name in lower case. */
  readonly subcommands?: ReadonlyMap<string, SessionCommand>;
}

/** Finds a command by its name, in any mixture of cases. */
export type CommandLookup = (name: ByteString) => SessionCommand | undefined;

/** What may still be asked in RESP2 by a client who listens: a reply would look like a message. */
const listening = new Set(['subscribe', 'unsubscribe', 'psubscribe', 'punsubscribe', 'ping', 'quit', 'reset']);
/** What is carried out at once within a transaction. */
const immediate = new Set(['exec', 'discard', 'multi', 'watch', 'quit', 'reset']);

/**
 * What a browser says to a web server. One that was tricked into talking to us brings its user's commands in the body
 * of its request, and is not listened to.
 */
const webRequest = new Set(['post', 'host:']);

/** One client: requests go in, replies come out. It knows nothing of sockets. */
export class Session implements Client, Listener {
  readonly db: Database;
  readonly peer: Peer;
  readonly id: number;
  readonly since: number;
  readonly transaction: Transaction<Session>;
  readonly channels = new Set<ByteString>();
  readonly patterns = new Set<ByteString>();
  /** Which version of the protocol it speaks. */
  form: Form = resp2;
  clientName = '';
  /** What the client says of its library: `lib-name`, `lib-ver`. */
  readonly library = new Map<string, ByteString>();
  lastCommand = 'NULL';
  lastActive: number;
  /** Since when too much is unsent, in milliseconds since 1970; `Infinity` while it is not. */
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

  /** Whether it has said goodbye: no further request is answered. */
  get closing(): boolean {
    return this.#closing;
  }

  get subscriptions(): number {
    return this.channels.size + this.patterns.size;
  }

  /** @returns The reply, encoded; empty once it has said goodbye. */
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

  /** A command that could not even be queued. An EXEC that is wrong itself ends the transaction. */
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
    this.db.limits.told(this);
  }

  /** Whether anything has come or left since this was last asked. */
  hasMoved(): boolean {
    const { moved } = this.peer;
    const before = this.#moved;
    this.#moved = moved;
    return moved !== before;
  }

  /**
   * Keeps more bytes for the client beside its keys, or fewer when negative.
   *
   * @throws {Refusal} If there is no room for them. It is asked before anything has changed.
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

  /** Ends the connection after the reply to the running command. */
  quit(): Reply {
    this.#closing = true;
    return OK;
  }

  /** Ends the connection from outside. */
  kill(): void {
    this.#closing = true;
    this.peer.close();
  }

  /** As it was at the beginning. */
  reset(): void {
    this.transaction.discard();
    this.#unsubscribe();
    this.form = resp2;
    this.rename('');
  }

  /** The client is gone. */
  leave(): void {
    this.#closing = true;
    this.transaction.discard();
    this.#unsubscribe();
    this.hold(-this.#held);
    this.db.sessions.delete(this.id);
  }

  /** Keeps those of the names that are not known yet. @throws {Refusal} If there is no room for all of them; then none is kept. */
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

/** The command that a request names, or why there is none, whatever the keys hold; nothing for who is no client. */
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

/** As Redis shows it: 128 characters, each argument up to its first zero byte. */
function unknownCommand([name = '', ...args]: Request): string {
  let shown = '';
  for (const arg of args) {
    if (shown.length >= 128) break;
    shown += `'${upToZero(arg.slice(0, 128 - shown.length))}' `;
  }
  return `unknown command '${upToZero(name.slice(0, 128))}', with args beginning with: ${shown}`;
}

const upToZero = (text: ByteString): Reply => text.split('\0', 1)[0] ?? '';
