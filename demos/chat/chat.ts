import { ignoreElements, merge, type Observable, observeOn, queueScheduler, skip, tap } from 'rxjs';
import { broadcast, type MemberOptions } from '../../lib/index.ts';
import type { Bus } from './bus.ts';
import type { News } from './news.ts';
import { Presence } from './presence.ts';
import { Rooms } from './rooms.ts';
import { list, notice, serverKey, speech } from './text.ts';

export interface ChatOptions {
  /** What users see of this server. */
  readonly serverName: string;
  /** What tells this run of it from all others. */
  readonly run: string;
  /** Milliseconds of silence after which another server's people are gone. */
  readonly ttl: number;
  /** Lines that a newcomer is shown. */
  readonly history: number;
  /** Rooms that are kept in mind. */
  readonly maxRooms: number;
  /** Bytes of the longest line. */
  readonly maxLine: number;
  /** Lines a second that each may say; `Infinity` for no limit. */
  readonly rate: number;
  /** What becomes of those who read too slowly. */
  readonly member: MemberOptions;
  /** Called for each line that a user sends. */
  readonly heard?: () => void;
}

/** One who is to be told what concerns nobody else. */
export interface Guest {
  tell(text: string): void;
}

/** What all who are connected to this server share. */
export class Chat {
  readonly options: ChatOptions;
  readonly presence: Presence;
  readonly rooms: Rooms;
  readonly guests = new Map<number, Guest>();
  /** All of this server, whatever room they are in. */
  readonly everybody = broadcast();
  /** Whether this server is shutting down; else who is asked to finish has been here for as long as may be. */
  closing = false;
  /** Whether the other servers can be reached. */
  connected = true;
  readonly #bus: Bus;

  constructor(bus: Bus, options: ChatOptions) {
    this.#bus = bus;
    this.options = options;
    this.presence = new Presence(bus, { server: serverKey(options.serverName, options.run), ttl: options.ttl });
    this.rooms = new Rooms(options.maxRooms, options.history);
  }

  /** Passes on what others say and do, while it is subscribed. */
  run(): Observable<never> {
    // Through a queue: who is cut off while a line is passed on makes news, and all are to see the two in one order.
    const news = this.presence.news().pipe(
      observeOn(queueScheduler),
      tap((one) => this.#tell(one)),
    );
    const state = this.#bus.connected.pipe(
      tap((connected) => {
        this.connected = connected;
      }),
      skip(1),
      tap((connected) => this.everybody.next(connected ? HEALED : LOST)),
    );
    return merge(news, state).pipe(ignoreElements());
  }

  #tell(news: News): void {
    switch (news.type) {
      case 'said':
        return this.rooms.open(news.room)?.say(speech(news.name, news.text));
      case 'outdone':
        return this.guests
          .get(news.id)
          ?.tell(notice(`Somebody on another server was ${news.from} before you. You are ${news.to} now.`));
      default:
        return this.rooms.find(news.room)?.members.next(notice(sentence(news)));
    }
  }
}

export const LOST = notice('The other servers cannot be reached: only people on this one hear you. Trying again …');
const HEALED = notice('The other servers can be reached again.');

function sentence(news: Exclude<News, { type: 'said' | 'outdone' }>): string {
  if (news.type === 'renamed') return `${news.from} is now ${news.to}`;
  const has = news.names.length === 1 ? 'has' : 'have';
  if (news.type === 'joined') return `${list(news.names)} ${has} joined ${news.room}`;
  const why = news.lost === undefined ? '' : `: server ${news.lost} has gone silent`;
  return `${list(news.names)} ${has} left ${news.room}${why}`;
}
