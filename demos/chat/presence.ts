import { merge, mergeMap, type Observable, type SchedulerLike, timer } from 'rxjs';
import { monotonic } from '../../lib/index.ts';
import type { Bus } from './bus.ts';
import type { Message, Person } from './message.ts';
import { isNews, type News, newsOf } from './news.ts';
import { keyOf, notice, serverName, speech } from './text.ts';

/** A user, as this server knows them. */
export interface Known extends Person {
  readonly server: string;
  /** The name in the form in which names are compared. */
  readonly key: string;
  /** The number of our heartbeat after which the last message about the user arrived. */
  readonly heartbeat: number;
}

/** A server: the number of our heartbeat after which its last message arrived, and its users. */
interface Server {
  heartbeat: number;
  readonly people: Map<number, Known>;
}

/** Heartbeats in one `ttl`: a server counts as dead once it has been silent for so many. */
const HEARTBEATS = 5;
/** Users in one message, because a message of NATS has 1 MiB at most. */
const PART = 2000;

export type Presence = ReturnType<typeof presence>;

/**
 * Tracks the users of all servers, and the room of each. A server publishes each user who comes, changes or leaves, and all
 * its users at every heartbeat. A user who is no longer published is removed.
 *
 * ```text
 * other server    p--p--p--p--p--x              publishes, and then is killed
 * news            ---j-----l-------------l      joined, left; the last one once the server was silent for its ttl
 * ```
 *
 * @param server The name of this server, unique among all servers.
 * @param ttl Milliseconds of silence after which a server's users are removed; the same on all servers.
 */
export function presence(bus: Bus, server: string, ttl: number, scheduler: SchedulerLike = monotonic) {
  const ours: Server = { heartbeat: 0, people: new Map() };
  const servers = new Map([[server, ours]]);
  let guests = 0;

  const people = (): readonly Known[] => [...servers.values()].flatMap((one) => [...one.people.values()]);
  /** A user of this server who has entered and not left. */
  const person = (id: number): Known => ours.people.get(id) as Known;
  const isTaken = (name: string, by?: number): boolean => {
    const key = keyOf(name);
    const owns = (one: Known) => one.key === key && (one.server !== server || one.id !== by);
    return [...servers.values()].some(({ people }) => [...people.values()].some(owns));
  };
  const freeName = (): string => {
    do guests++;
    while (isTaken(`guest${guests}`));
    return `guest${guests}`;
  };

  const publish = (...people: readonly Person[]): void =>
    bus.send({ server, there: people.map(({ id, name, since, room }) => ({ id, name, since, room })) });
  const publishAll = (): void => {
    const all = [...ours.people.values()];
    for (let at = 0; at === 0 || at < all.length; at += PART) publish(...all.slice(at, at + PART));
  };

  const receive = (message: Message): News[] => {
    const from = message.server;
    const them = servers.get(from) ?? { heartbeat: 0, people: new Map() };
    them.heartbeat = ours.heartbeat;
    if (!servers.has(from)) {
      servers.set(from, them);
      // A server that is new to this one has not received this server's users, either.
      publishAll();
    }
    if ('text' in message) return [{ to: message.room, line: speech(message.name, message.text), said: true }];
    if ('gone' in message) {
      const before = them.people.get(message.gone);
      them.people.delete(message.gone);
      return newsOf([[before, undefined]]);
    }
    const there = message.there.map((one) => ({
      ...one,
      server: from,
      key: keyOf(one.name),
      heartbeat: ours.heartbeat,
    }));
    const changes = there.map((one) => [them.people.get(one.id), one] as const).filter(isNews);
    for (const one of there) them.people.set(one.id, one);
    return [...newsOf(changes), ...changes.flatMap(([, one]) => (from === server ? [] : settle(one)))];
  };

  /**
   * Of two users with the same name, the one who took it first keeps it. Every server compares the same two records, so all
   * servers reach the same result.
   */
  const settle = (theirs: Known): News[] => {
    const our = [...ours.people.values()].find(({ key }) => key === theirs.key);
    if (!our || our.since < theirs.since || (our.since === theirs.since && server < theirs.server)) return [];
    const name = freeName();
    publish({ ...our, name, since: Date.now() });
    return [
      { to: our.id, line: notice(`The name ${our.name} was taken earlier on another server. You are ${name} now.`) },
    ];
  };

  /**
   * Time is counted in our own heartbeats, because a server that is suspended has none. Otherwise it would remove the users of
   * all other servers when it continues.
   */
  const nextHeartbeat = (): News[] => {
    const now = ++ours.heartbeat;
    publishAll();
    return [...servers].flatMap(([from, { heartbeat, people }]) => {
      const isSilent = heartbeat <= now - HEARTBEATS;
      if (isSilent) servers.delete(from);
      // If a live server no longer publishes a user, the message that the user has left was lost.
      const gone = [...people.values()].filter((one) => isSilent || one.heartbeat < now - HEARTBEATS);
      for (const { id } of gone) people.delete(id);
      const why = isSilent ? `: server ${serverName(from)} has gone silent` : '';
      return newsOf(
        gone.map((one) => [one, undefined]),
        why,
      );
    });
  };

  /** While subscribed, it takes part in the exchange of users, and emits what changes. */
  const news: Observable<News> = merge(
    bus.messages.pipe(mergeMap(receive)),
    timer(0, ttl / HEARTBEATS, scheduler).pipe(mergeMap(nextHeartbeat)),
  );

  return {
    server,
    news,
    people,
    person,
    /** Adds a user of this server, under a free name. */
    enter: (id: number): void => publish({ id, name: freeName(), since: Date.now() }),
    /** @returns Whether the name was free. The user's own name always is. */
    rename(id: number, name: string): boolean {
      const isFree = !isTaken(name, id);
      if (isFree) publish({ ...person(id), name, since: Date.now() });
      return isFree;
    },
    /** Moves a user to a room, or out of the present one. */
    move: (id: number, room?: string): void => publish({ ...person(id), room }),
    leave: (id: number): void => bus.send({ server, gone: id }),
    /** Sends a user's line to the room that the user is in. */
    say(id: number, text: string): void {
      const { name, room } = person(id);
      if (room !== undefined) bus.send({ server, name, room, text });
    },
  };
}
