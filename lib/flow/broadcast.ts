import { Observable, type Observer } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { internals, type SocketConnection } from '../connection/socketConnection.ts';
import { type Data, type Overrun, overruns } from '../connection/writeQueue.ts';
import { SlowConsumerError } from '../errors.ts';
import { bytes, check, checkArgument, data, oneOf } from '../options.ts';
import { Queue } from '../queue.ts';

/** What a member of a broadcast may have otherwise than its connection. */
export interface MemberOptions {
  /**
   * Bytes that may wait for this member, those included that wait in the connection. Half of them at most are given to the
   * network at once, because what it has cannot be dropped. @default the connection's own limit
   */
  readonly maxOutbound?: number | undefined;
  /** What happens past that: the member is disconnected as `slow-consumer`, or loses the oldest values, or the new ones. @default the connection's own policy */
  readonly overrun?: Overrun | undefined;
}

/**
 * One source of values for many connections: a room, a topic, a channel.
 *
 * ```text
 * room.next       --a--b--c------d-
 * room.to(fast)   --a--b--c------d-
 * room.to(slow)   --a---------bc-d-     waits for room, and holds nobody else up
 * ```
 *
 * A value is encoded once, and the same bytes go to all. Each member has its own queue and its own policy; joining and leaving
 * take constant time. It is an Observer: any stream can be poured into it.
 */
export class Broadcast implements Observer<Data> {
  readonly #members = new Set<Member>();
  /** A value is being handed to one after the other. */
  #sending = false;
  /** That, and what is to come behind it. */
  readonly #due = new Queue<() => void>();
  #over = false;
  #failure: { readonly error: unknown } | undefined;

  /** How many are in. */
  get size(): number {
    return this.#members.size;
  }

  /**
   * Joins, for as long as it is subscribed.
   *
   * @param connection Whose pace it obeys.
   * @param options See {@link MemberOptions}.
   * @returns The room's values, as bytes, to be merged into what the handler replies. It completes when the room does, or when
   * the connection is asked to finish and what waited has left, or when that is gone.
   * @throws TypeError or RangeError for options that do not exist or cannot be.
   */
  to(connection: Connection, options: MemberOptions = {}): Observable<Uint8Array> {
    const given = check('join a broadcast', options, { maxOutbound: bytes, overrun: oneOf(...overruns) });
    const internal = internals(connection, 'join a broadcast');
    return new Observable((subscriber) => {
      const member = new Member(internal, given, subscriber);
      if (this.#failure) return subscriber.error(this.#failure.error);
      if (this.#over) return subscriber.complete();
      this.#members.add(member);
      // It completes when the connection is gone, too: not everyone who writes for himself remembers to leave.
      subscriber.add(connection.draining.subscribe({ complete: () => member.end() }));
      return () => {
        this.#members.delete(member);
        member.leave();
      };
    });
  }

  /**
   * Sends a value to all who are in.
   *
   * @param value A string or bytes, which nobody may change from then on.
   * @throws TypeError for anything else, to whoever calls it: it is no fault of those who are in.
   */
  next(value: Data): void {
    checkArgument('broadcast', 'value', value, data);
    if (this.#over) return;
    const shared = typeof value === 'string' ? Buffer.from(value) : value;
    // Those who are in now: who joins because of this value has the next.
    const members = [...this.#members];
    this.#inOrder(() => {
      for (const member of members) member.offer(shared);
    });
  }

  /** Ends the room: all members complete when what waits for them has left. */
  complete(): void {
    if (this.#over) return;
    this.#over = true;
    this.#inOrder(() => {
      for (const member of this.#members) member.end();
    });
  }

  /** Ends the room with an error, for all members and for whoever comes later. What waits for them is dropped. */
  error(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = { error };
    for (const member of this.#members) member.fail(error);
  }

  /** What a value brings about, such as a word about a member that is cut off for it, comes behind it, for all. */
  #inOrder(work: () => void): void {
    this.#due.push(work);
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let next = this.#due.shift(); next !== undefined; next = this.#due.shift()) next();
    } finally {
      this.#sending = false;
    }
  }
}

/** Makes a room. */
export function broadcast(): Broadcast {
  return new Broadcast();
}

class Member {
  readonly #connection: SocketConnection;
  readonly #to: Observer<Uint8Array> & { readonly closed: boolean };
  readonly #max: number;
  readonly #overrun: Overrun;
  readonly #queue = new Queue<Uint8Array>();
  /** Bytes in the queue. */
  #length = 0;
  #waiting = false;
  #ending = false;

  constructor(
    connection: SocketConnection,
    { maxOutbound = connection.maxOutbound, overrun = connection.overrun }: MemberOptions,
    to: Observer<Uint8Array> & { readonly closed: boolean },
  ) {
    this.#connection = connection;
    this.#to = to;
    this.#max = maxOutbound;
    this.#overrun = overrun;
  }

  offer(value: Uint8Array): void {
    if (this.#ending) return;
    // Behind what waits, also when that is on its way just now.
    if (this.#length === 0 && this.#takes(value)) return this.#tell('next', value);
    if (this.#unsent + value.length > this.#max && !this.#overran(value)) return;
    this.#queue.push(value);
    this.#hold(value.length);
    this.#wait();
  }

  end(): void {
    this.#ending = true;
    if (this.#length === 0) this.#tell('complete');
  }

  fail(error: unknown): void {
    this.leave();
    this.#tell('error', error);
  }

  leave(): void {
    this.#ending = true;
    this.#hold(-this.#length);
    this.#queue.clear();
  }

  /** What waits for the peer, here and in the connection, in bytes. */
  get #unsent(): number {
    const { stalled, unsent } = this.#connection;
    return stalled ? unsent + this.#length : this.#length;
  }

  /**
   * Whether the connection has room for a value. While its peer does not keep pace all waits here, where it can be dropped; and
   * what gathers in a turn leaves before it is too much, because only then it shows whether the peer keeps pace.
   */
  #takes({ length }: Uint8Array): boolean {
    const connection = this.#connection;
    if (connection.gathered + length > this.#max / 2) connection.flush();
    return !connection.stalled && !connection.congested;
  }

  /** @returns Whether there is room for the value after all. */
  #overran(value: Uint8Array): boolean {
    if (this.#overrun === 'disconnect') {
      this.#connection.abortWith(new SlowConsumerError(this.#max, this.#unsent + value.length));
      return false;
    }
    // One that has no room when all others are dropped makes none.
    const makesRoom = this.#overrun === 'drop-oldest' && this.#unsent - this.#length + value.length <= this.#max;
    while (makesRoom && this.#length > 0 && this.#unsent + value.length > this.#max) {
      this.#shift();
      this.#connection.drop();
    }
    if (this.#unsent + value.length <= this.#max) return true;
    this.#connection.drop();
    return false;
  }

  #wait(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#connection.whenRoom(() => this.#go());
  }

  #go(): void {
    this.#waiting = false;
    for (let next = this.#queue.first; next !== undefined && !this.#to.closed; next = this.#queue.first) {
      if (!this.#takes(next)) return this.#wait();
      this.#tell('next', this.#shift());
    }
    if (this.#ending) this.#tell('complete');
  }

  /** What a teardown throws is the fault of this member's connection, and of nobody who is behind it. */
  #tell(what: 'next' | 'error' | 'complete', value?: unknown): void {
    try {
      if (what === 'next') this.#to.next(value as Uint8Array);
      else if (what === 'error') this.#to.error(value);
      else this.#to.complete();
    } catch (error) {
      this.#connection.crashed(error);
    }
  }

  #shift(): Uint8Array {
    const value = this.#queue.shift() as Uint8Array;
    this.#hold(-value.length);
    return value;
  }

  #hold(bytes: number): void {
    if (bytes === 0) return;
    this.#length += bytes;
    this.#connection.holdElsewhere(bytes);
  }
}
