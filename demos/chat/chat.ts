import { ignoreElements, merge, observeOn, queueScheduler, skip, tap } from 'rxjs';
import { type Broadcast, broadcast } from '../../lib/index.ts';
import type { Bus } from './bus.ts';
import type { News } from './news.ts';
import { presence } from './presence.ts';
import { notice } from './text.ts';

/** Rooms whose history is kept. There are more only while a user of this server is in each of them. */
const ROOMS = 1000;
const DISCONNECTED = notice(
  'The other servers cannot be reached: only people on this server see your lines. Reconnecting …',
);
const RECONNECTED = notice('The other servers can be reached again.');

/** A room on this server: its members here, and its last lines. */
export interface Room {
  readonly members: Broadcast;
  readonly history: string[];
}

export type Chat = ReturnType<typeof openChat>;

/**
 * The state that all connections of this server share.
 *
 * @param server See {@link presence}; `ttl`, too.
 * @param history Lines of a room that are shown to a user who joins it.
 */
export function openChat(bus: Bus, server: string, { ttl, history }: { ttl: number; history: number }) {
  const users = presence(bus, server, ttl);
  /** Lines for a single user: one broadcast each. */
  const mails = new Map<number, Broadcast>();
  /** In order of use: the room that was used last is the last. */
  const rooms = new Map<string, Room>();

  /** Returns a room. To make room for a new one, it drops the empty room that has been unused for longest. */
  const room = (name: string): Room => {
    const room = rooms.get(name) ?? { members: broadcast(), history: [] };
    rooms.delete(name);
    for (const [old, { members }] of rooms) {
      if (rooms.size < ROOMS) break;
      if (members.size === 0) rooms.delete(old);
    }
    rooms.set(name, room);
    return room;
  };

  const deliver = ({ to, line, said }: News): void => {
    if (typeof to === 'number') return mails.get(to)?.next(line);
    if (!said) return rooms.get(to)?.members.next(line);
    const { members, history: lines } = room(to);
    if (lines.push(line) > history) lines.shift();
    members.next(line);
  };

  const notifyAll = (connected: boolean): void => {
    for (const mail of mails.values()) mail.next(connected ? RECONNECTED : DISCONNECTED);
  };

  /** While subscribed, it delivers news to the users of this server. */
  const run = merge(
    // Through a queue, because delivering a line may abort a slow member, and that emits news. Every member must receive both
    // in the same order.
    users.news.pipe(observeOn(queueScheduler), tap(deliver)),
    bus.connected.pipe(skip(1), tap(notifyAll)),
  ).pipe(ignoreElements());

  return {
    ...users,
    run,
    room,
    mails,
    /** The notice about the other servers for a new user; empty if they can be reached. */
    outlook: (): string => (bus.connected.value ? '' : DISCONNECTED),
    /** Whether this server shuts down. If not, a connection drains because its lifetime is over. */
    closing: false,
  };
}
