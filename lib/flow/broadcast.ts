import { Observable, type Observer } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { internals } from '../connection/internals.ts';
import { type Data, type Overrun, overruns } from '../connection/writeQueue.ts';
import { bytes, check, checkArgument, data, oneOf } from '../options.ts';
import { Queue } from '../queue.ts';
import { BroadcastMember } from './broadcastMember.ts';

/** In what a member of a broadcast may differ from its connection. */
export interface MemberOptions {
  /**
   * Bytes that may wait for this member, including those that wait in the connection. At most half of them are given to the
   * network at once, because what the network has cannot be dropped. @default the connection's own limit
   */
  readonly maxOutbound?: number | undefined;
  /**
   * What happens past that: the member is disconnected as `slow-consumer`, or loses the oldest values, or the new ones.
   * @default the connection's own policy
   */
  readonly overrun?: Overrun | undefined;
}

/**
 * One source of values for many connections: a room, a topic, a channel.
 *
 * ```text
 * room.next       --a--b--c------d-
 * room.to(fast)   --a--b--c------d-
 * room.to(slow)   --a---------bc-d-     waits for room, and delays no other member
 * ```
 *
 * A value is encoded once, and the same bytes go to all members. Each member has its own queue and its own policy; joining and
 * leaving take constant time. A broadcast is an Observer: any Observable can be subscribed with it.
 */
export class Broadcast implements Observer<Data> {
  readonly #members = new Set<BroadcastMember>();
  /** A value, or the end, is being given to one member after the other. */
  #isNotifying = false;
  /** What all members are notified of, in order. */
  readonly #notifications = new Queue<() => void>();
  #isOver = false;
  #failure: { readonly error: unknown } | undefined;

  /** How many members there are. */
  get size(): number {
    return this.#members.size;
  }

  /**
   * Joins, for as long as it is subscribed.
   *
   * @param connection The member. Its peer's pace limits it.
   * @param options See {@link MemberOptions}.
   * @returns The values, as bytes, to be merged into what the handler sends. It completes after what is queued has left, when the
   * broadcast completes or the connection is asked to finish. It completes when the connection is closed.
   * @throws TypeError or RangeError for options that do not exist or are not allowed, and for what is not a connection.
   */
  to(connection: Connection, options: MemberOptions = {}): Observable<Uint8Array> {
    const given = check('join a broadcast', options, { maxOutbound: bytes, overrun: oneOf(...overruns) });
    const internal = internals(connection, 'join a broadcast');
    const { limits } = internal.output;
    const { maxOutbound = limits.maxOutbound, overrun = limits.overrun } = given;
    return new Observable((subscriber) => {
      if (this.#failure) return subscriber.error(this.#failure.error);
      if (this.#isOver) return subscriber.complete();
      internal.usage.isUnmeasured = true;
      const member = new BroadcastMember(internal, maxOutbound, overrun, subscriber);
      this.#members.add(member);
      // It completes when the connection is closed, too, because a handler that uses `write()` may not unsubscribe then.
      subscriber.add(connection.draining.subscribe({ complete: () => member.end() }));
      return () => {
        this.#members.delete(member);
        member.leave();
      };
    });
  }

  /**
   * Sends a value to all members.
   *
   * @param value A string or bytes. The bytes must not be changed afterwards.
   * @throws TypeError for anything else, to the caller; the members are not affected.
   */
  next(value: Data): void {
    checkArgument('broadcast', 'value', value, data);
    if (this.#isOver) return;
    const shared = typeof value === 'string' ? Buffer.from(value) : value;
    // The members at this moment: one that joins because of this value receives the next one.
    const members = [...this.#members];
    this.#notify(() => {
      for (const member of members) member.offer(shared);
    });
  }

  /** Completes all members when what is queued for them has left. */
  complete(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#notify(() => {
      for (const member of this.#members) member.end();
    });
  }

  /**
   * Errors all members at once, and each one that joins later. What is queued for them is dropped.
   *
   * @param error What their connections fail with.
   */
  error(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = { error };
    for (const member of this.#members) member.fail(error);
  }

  /**
   * A value that is sent because of another one, such as the news that a slow member was disconnected, comes after it for all
   * members.
   */
  #notify(notification: () => void): void {
    this.#notifications.push(notification);
    if (this.#isNotifying) return;
    this.#isNotifying = true;
    try {
      for (let next = this.#notifications.shift(); next; next = this.#notifications.shift()) next();
    } finally {
      this.#isNotifying = false;
    }
  }
}

/**
 * Makes a broadcast.
 *
 * @example A chat: each line goes to all clients. `halfOpen: false` ends the membership of a client that has sent its FIN.
 * ```ts
 * const room = broadcast();
 * const join = (client: Connection) => {
 *   const said = client.pipe(lines(), tap((line) => room.next(`${line}\n`)), ignoreElements());
 *   return merge(room.to(client), said);
 * };
 *
 * serve({ port: 7000 }, join, { halfOpen: false }).subscribe();
 * ```
 *
 * @returns A broadcast without members.
 */
export function broadcast(): Broadcast {
  return new Broadcast();
}
