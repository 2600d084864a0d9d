import {
  concat,
  debounceTime,
  defer,
  EMPTY,
  finalize,
  groupBy,
  ignoreElements,
  merge,
  mergeMap,
  type Observable,
  type SchedulerLike,
  Subject,
  switchMap,
  takeUntil,
  takeWhile,
  tap,
  timer,
} from 'rxjs';
import { monotonic } from '../../lib/index.ts';
import type { Bus } from './bus.ts';
import type { Message, Person } from './message.ts';
import { type Change, type News, newsOf } from './news.ts';
import { Other } from './other.ts';
import { type Known, People } from './people.ts';
import { serverName } from './text.ts';

export interface PresenceOptions {
  /** What this server is called by the others: no two may be the same. */
  readonly server: string;
  /** Milliseconds of silence after which a server's people are gone; the same on all servers. */
  readonly ttl: number;
  /** @default monotonic */
  readonly scheduler?: SchedulerLike;
}

/** So many people go into one message, which may be 1 MiB. */
const PART = 2000;

/**
 * Who is where, on this server and the others.
 *
 * ```text
 * other server    b--c--b--c--b--x              beats, changes, and then nothing
 * news            ---j-----l-------------l      joined, left; and left again, once it is silent for its time
 * ```
 *
 * Each server tells of its own people. It beats four times in `ttl`; one that is silent for that long is taken for dead. What
 * is missed, by a lost connection or a late start, is asked for: see {@link Message}.
 */
export class Presence {
  readonly people = new People();
  readonly #bus: Bus;
  readonly #server: string;
  readonly #ttl: number;
  readonly #scheduler: SchedulerLike;
  readonly #news = new Subject<News>();
  readonly #here = new Map<number, Known>();
  readonly #others = new Map<string, Other>();
  #version = 0;
  #guests = 0;

  constructor(bus: Bus, { server, ttl, scheduler = monotonic }: PresenceOptions) {
    this.#bus = bus;
    this.#server = server;
    this.#ttl = ttl;
    this.#scheduler = scheduler;
  }

  /** Takes part while it is subscribed, and says what becomes different. */
  news(): Observable<News> {
    const beats = this.#bus.connected.pipe(
      switchMap((up) => (up ? timer(0, this.#ttl / 4, this.#scheduler) : EMPTY)),
      tap((beat) => {
        // Whoever comes, or comes back, wants to know; and its beat makes the others want to.
        if (beat === 0) this.#send({ type: 'ask' });
        this.#send({ type: 'beat', version: this.#version });
      }),
      ignoreElements(),
    );
    const others = this.#bus.heard.pipe(
      groupBy(({ server }) => server, {
        duration: (messages) => this.#silence(messages),
      }),
      mergeMap((messages) => {
        let lost = true;
        return concat(
          messages.pipe(
            takeWhile(({ type }) => {
              lost = type !== 'bye';
              return lost;
            }),
            tap((message) => this.#hear(message)),
          ),
          defer(() => this.#forget(messages.key, lost)),
        );
      }),
      ignoreElements(),
    );
    return merge(this.#news, others, beats).pipe(finalize(() => this.#send({ type: 'bye' })));
  }

  /**
   * Emits when nothing has come for `ttl`. The last quarter is waited for anew: if it was this process that stood still, for
   * longer than that, its timers run before it reads what has come meanwhile, and nobody may be taken for dead.
   */
  #silence(messages: Observable<unknown>): Observable<unknown> {
    const quiet = messages.pipe(debounceTime((this.#ttl * 3) / 4, this.#scheduler));
    return quiet.pipe(switchMap(() => timer(this.#ttl / 4, this.#scheduler).pipe(takeUntil(messages))));
  }

  // Our own people ----------------------------------------------------------------------------------------------------

  /** Somebody comes, and is given a name. */
  enter(id: number): Person {
    return this.#change({ id, name: this.#guest(), since: Date.now(), server: this.#server });
  }

  /** @returns Whether the name was free; for its owner it always is. */
  rename(id: number, name: string): boolean {
    const person = this.person(id);
    if (this.people.named(name).some((other) => other !== person)) return false;
    this.#change({ ...person, name, since: Date.now() });
    return true;
  }

  /** Somebody goes to a room, or out of the one they are in. */
  move(id: number, room: string | undefined): void {
    const { room: _, ...person } = this.person(id);
    this.#change(room === undefined ? person : { ...person, room });
  }

  /** Somebody says something to the room they are in. */
  say(id: number, text: string): void {
    const { name, room } = this.person(id);
    if (room === undefined) return;
    this.#news.next({ type: 'said', room, name, text });
    this.#send({ type: 'said', room, name, text });
  }

  /** Somebody goes. */
  leave(id: number): void {
    const before = this.#here.get(id);
    this.#here.delete(id);
    this.#replace([[before, undefined]]);
    this.#send({ type: 'gone', version: ++this.#version, id });
  }

  /** Somebody of ours. */
  person(id: number): Known {
    const person = this.#here.get(id);
    if (!person) throw new RangeError(`Cannot find person ${id}: they are not here`);
    return person;
  }

  #change(after: Known): Person {
    const before = this.#here.get(after.id);
    this.#here.set(after.id, after);
    this.#replace([[before, after]]);
    this.#send({ type: 'change', version: ++this.#version, person: bare(after) });
    return after;
  }

  #guest(): string {
    do this.#guests++;
    while (this.people.isTaken(`guest${this.#guests}`));
    return `guest${this.#guests}`;
  }

  // Those of the others -----------------------------------------------------------------------------------------------

  #hear(message: Message): void {
    const { server } = message;
    const other = this.#others.get(server) ?? new Other();
    this.#others.set(server, other);
    switch (message.type) {
      case 'said':
        return this.#news.next(message);
      case 'ask':
        return message.of === undefined || message.of === this.#server ? this.#tell() : undefined;
      case 'beat':
        // What was asked for before the last beat is lost, too.
        other.asked = other.asked === 'before' ? undefined : other.asked && 'before';
        return message.version === other.version ? undefined : this.#ask(server, other);
      case 'change':
      case 'gone':
        if (message.version <= other.version) return;
        if (message.version > other.version + 1) return this.#ask(server, other);
        other.version = message.version;
        if (message.type === 'gone') return this.#update(other, [[message.id, undefined]]);
        return this.#update(other, [[message.person.id, { ...message.person, server }]]);
      case 'state':
        if (!other.collect(message)) return;
        other.asked = undefined;
        if (message.version === other.version) return;
        other.version = message.version;
        return this.#update(other, other.difference(server));
    }
  }

  #update(other: Other, changes: readonly [id: number, person: Known | undefined][]): void {
    const pairs = changes.map(([id, after]): Change => [other.put(id, after), after]);
    this.#replace(pairs);
    for (const [, after] of pairs) if (after) this.#settle(after);
  }

  /** Of two with one name, who took it first keeps it. All servers see the same two, and come to the same end. */
  #settle(theirs: Known): void {
    for (const ours of this.people.named(theirs.name)) {
      if (ours.server !== this.#server) continue;
      if (ours.since < theirs.since || (ours.since === theirs.since && ours.server < theirs.server)) continue;
      const { name } = this.#change({ ...ours, name: this.#guest(), since: Date.now() });
      this.#news.next({ type: 'outdone', id: ours.id, from: ours.name, to: name });
    }
  }

  #ask(server: string, other: Other): void {
    if (other.asked) return;
    other.asked = 'now';
    this.#send({ type: 'ask', of: server });
  }

  #tell(): void {
    const people = [...this.#here.values()].map(bare);
    const version = this.#version;
    for (let part = 0, at = 0; part === 0 || at < people.length; part++, at += PART) {
      const last = at + PART >= people.length;
      this.#send({ type: 'state', version, part, last, people: people.slice(at, at + PART) });
    }
  }

  #forget(server: string, lost: boolean): Observable<never> {
    const other = this.#others.get(server);
    this.#others.delete(server);
    this.#replace(
      [...(other?.people.values() ?? [])].map((person): Change => [person, undefined]),
      lost ? serverName(server) : undefined,
    );
    return EMPTY;
  }

  // All of them -------------------------------------------------------------------------------------------------------

  #replace(changes: readonly Change[], lost?: string): void {
    for (const [before, after] of changes) this.people.replace(before, after);
    for (const news of newsOf(changes, lost)) this.#news.next(news);
  }

  #send(message: Unsigned): void {
    this.#bus.send({ server: this.#server, ...message });
  }
}

type Without<T, K extends string> = T extends unknown ? Omit<T, K> : never;
type Unsigned = Without<Message, 'server'>;

function bare({ server: _, ...person }: Known): Person {
  return person;
}
