import { ignoreElements, merge, observeOn, queueScheduler, skip, tap } from 'rxjs';
import { type Broadcast, broadcast } from '../../lib/index.ts';
import type { Bus } from './bus.ts';
import type { News } from './news.ts';
import { presence } from './presence.ts';
import { notice } from './text.ts';

/** So many rooms are kept in mind; more only if somebody here is in each of them. */
const ROOMS = 1000;
const LOST = notice('The other servers cannot be reached: only people on this one hear you. Trying again …');
const HEALED = notice('The other servers can be reached again.');

/** A room as this server has it: its people here, and what was said last. */
export interface Room {
  readonly members: Broadcast;
  readonly history: string[];
}

export type Chat = ReturnType<typeof openChat>;

/**
 * What all who are connected to this server share.
 *
 * @param server See {@link presence}; `ttl`, too.
 * @param history Lines that a newcomer to a room is shown.
 */
export function openChat(bus: Bus, server: string, { ttl, history }: { ttl: number; history: number }) {
  const who = presence(bus, server, ttl);
  /** What only one person is told: a room for each. */
  const mails = new Map<number, Broadcast>();
  /** The one used last is the last. */
  const rooms = new Map<string, Room>();

  /** For one more, the one that has been empty and silent for longest is forgotten. */
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

  const tell = ({ to, line, said }: News): void => {
    if (typeof to === 'number') return mails.get(to)?.next(line);
    if (!said) return rooms.get(to)?.members.next(line);
    const { members, history: lines } = room(to);
    if (lines.push(line) > history) lines.shift();
    members.next(line);
  };

  const tellAll = (connected: boolean): void => {
    for (const mail of mails.values()) mail.next(connected ? HEALED : LOST);
  };

  /** Passes on what all say and do, while it is subscribed. */
  const run = merge(
    // Through a queue: who is cut off while a line is passed on makes news, and all are to see the two in one order.
    who.news.pipe(observeOn(queueScheduler), tap(tell)),
    bus.connected.pipe(skip(1), tap(tellAll)),
  ).pipe(ignoreElements());

  return {
    ...who,
    run,
    room,
    mails,
    /** What a newcomer is told of the other servers. */
    outlook: (): string => (bus.connected.value ? '' : LOST),
    /** Whether this server is shutting down; else who is asked to finish has been here for as long as may be. */
    closing: false,
  };
}
