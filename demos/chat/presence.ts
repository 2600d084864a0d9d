import { merge, mergeMap, type Observable, type SchedulerLike, timer } from 'rxjs';
import { monotonic } from '../../lib/index.ts';
import type { Bus } from './bus.ts';
import type { Message, Person } from './message.ts';
import { isNews, type News, newsOf } from './news.ts';
import { keyOf, notice, serverName, speech } from './text.ts';

/** Somebody, and what is known of them besides. */
export interface Known extends Person {
  readonly server: string;
  /** The name, as it is compared. */
  readonly key: string;
  /** In which of our beats we were told of them last. */
  readonly beat: number;
}

/** A server: the beat in which it was heard last, and who is there. */
interface Server {
  beat: number;
  readonly people: Map<number, Known>;
}

/** So many times a server could have told of its people before it is taken for dead. */
const BEATS = 5;
/** So many people go into one message, which may be 1 MiB. */
const PART = 2000;

export type Presence = ReturnType<typeof presence>;

/**
 * Who is where, on this server and the others. Each server tells of its people when they come, change or go, and of all of
 * them at every beat; of whom none tells any more, is gone.
 *
 * ```text
 * other server    t--t--t--t--t--x              tells, and then nothing
 * news            ---j-----l-------------l      joined, left; and left again, once it is silent for its time
 * ```
 *
 * @param server What this server is called by the others: no two may be the same.
 * @param ttl Milliseconds of silence after which a server's people are gone; the same on all servers.
 */
export function presence(bus: Bus, server: string, ttl: number, scheduler: SchedulerLike = monotonic) {
  const ours: Server = { beat: 0, people: new Map() };
  const servers = new Map([[server, ours]]);
  let guests = 0;

  const people = (): readonly Known[] => [...servers.values()].flatMap((one) => [...one.people.values()]);
  /** Somebody of ours, who has come and not gone. */
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

  const tell = (...people: readonly Person[]): void =>
    bus.send({ server, there: people.map(({ id, name, since, room }) => ({ id, name, since, room })) });
  const tellAll = (): void => {
    const all = [...ours.people.values()];
    for (let at = 0; at === 0 || at < all.length; at += PART) tell(...all.slice(at, at + PART));
  };

  const hear = (message: Message): News[] => {
    const from = message.server;
    const them = servers.get(from) ?? { beat: 0, people: new Map() };
    them.beat = ours.beat;
    if (!servers.has(from)) {
      servers.set(from, them);
      // Whoever is new to us does not know of us, either.
      tellAll();
    }
    if ('text' in message) return [{ to: message.room, line: speech(message.name, message.text), said: true }];
    if ('gone' in message) {
      const before = them.people.get(message.gone);
      them.people.delete(message.gone);
      return newsOf([[before, undefined]]);
    }
    const there = message.there.map((one) => ({ ...one, server: from, key: keyOf(one.name), beat: ours.beat }));
    const changes = there.map((one) => [them.people.get(one.id), one] as const).filter(isNews);
    for (const one of there) them.people.set(one.id, one);
    return [...newsOf(changes), ...changes.flatMap(([, one]) => (from === server ? [] : settle(one)))];
  };

  /** Of two with one name, who took it first keeps it. All servers see the same two, and come to the same end. */
  const settle = (theirs: Known): News[] => {
    const our = [...ours.people.values()].find(({ key }) => key === theirs.key);
    if (!our || our.since < theirs.since || (our.since === theirs.since && server < theirs.server)) return [];
    const name = freeName();
    tell({ ...our, name, since: Date.now() });
    return [
      { to: our.id, line: notice(`Somebody on another server was ${our.name} before you. You are ${name} now.`) },
    ];
  };

  /** Time is counted in our own beats: who stands still himself counts none, and takes nobody for dead. */
  const nextBeat = (): News[] => {
    const now = ++ours.beat;
    tellAll();
    return [...servers].flatMap(([from, { beat, people }]) => {
      const isSilent = beat <= now - BEATS;
      if (isSilent) servers.delete(from);
      // Of whom a server tells no more while it tells of others, only the leaving was not heard.
      const gone = [...people.values()].filter((one) => isSilent || one.beat < now - BEATS);
      for (const { id } of gone) people.delete(id);
      const why = isSilent ? `: server ${serverName(from)} has gone silent` : '';
      return newsOf(
        gone.map((one) => [one, undefined]),
        why,
      );
    });
  };

  /** Takes part while it is subscribed, and says what becomes different. */
  const news: Observable<News> = merge(
    bus.heard.pipe(mergeMap(hear)),
    timer(0, ttl / BEATS, scheduler).pipe(mergeMap(nextBeat)),
  );

  return {
    server,
    news,
    people,
    person,
    /** Somebody comes, and is given a name. */
    enter: (id: number): void => tell({ id, name: freeName(), since: Date.now() }),
    /** @returns Whether the name was free; for its owner it always is. */
    rename(id: number, name: string): boolean {
      const isFree = !isTaken(name, id);
      if (isFree) tell({ ...person(id), name, since: Date.now() });
      return isFree;
    },
    /** Somebody goes to a room, or out of the one they are in. */
    move: (id: number, room?: string): void => tell({ ...person(id), room }),
    leave: (id: number): void => bus.send({ server, gone: id }),
    /** Somebody says something to the room they are in. */
    say(id: number, text: string): void {
      const { name, room } = person(id);
      if (room !== undefined) bus.send({ server, name, room, text });
    },
  };
}
