import {
  BehaviorSubject,
  catchError,
  defer,
  EMPTY,
  finalize,
  map,
  merge,
  type Observable,
  Subject,
  switchAll,
  takeUntil,
  tap,
  throwError,
} from 'rxjs';
import { type Connection, type Data, DeadlineError, exchange, FrameTooLongError, lines } from '../../lib/index.ts';
import { type Chat, type Guest, LOST } from './chat.ts';
import { Pace } from './pace.ts';
import type { Known } from './people.ts';
import { harmless, keyOf, list, normal, notice, serverName, wrongWith } from './text.ts';

/** The chat as a handler: what one user is sent, while what they send is obeyed. */
export const converse =
  (chat: Chat) =>
  (connection: Connection): Observable<Data> =>
    defer(() => new Session(chat, connection).output());

const HELP = [
  '/name NAME   to be called NAME',
  '/join ROOM   to go to a room, and out of the one you are in',
  '/leave       to go out of it',
  '/who [ROOM]  who is there, on all servers',
  '/rooms       the rooms that somebody is in',
  '/quit        goodbye',
  'Anything else is said in your room; //x says /x.',
];

const alphabet = new Intl.Collator();

/** So many names, or rooms, are shown at most. */
const MOST = 200;

class Session implements Guest {
  readonly #chat: Chat;
  readonly #connection: Connection;
  readonly #pace: Pace;
  readonly #private = new Subject<Data>();
  readonly #rooms = new BehaviorSubject<Observable<Data>>(EMPTY);
  readonly #over = new Subject<void>();

  constructor(chat: Chat, connection: Connection) {
    this.#chat = chat;
    this.#connection = connection;
    this.#pace = new Pace(chat.options.rate);
    chat.presence.enter(connection.id);
    chat.guests.set(connection.id, this);
  }

  output(): Observable<Data> {
    const { everybody, options } = this.#chat;
    const connection = this.#connection;
    // Held back at his pace: the next line is not read before the one before it is done with.
    const input = exchange(lines({ maxLength: options.maxLine, unterminated: 'emit' }), (line) => this.#hear(line));
    return merge(
      this.#private,
      this.#rooms.pipe(switchAll()),
      everybody.to(connection, options.member).pipe(takeUntil(this.#over)),
      connection.draining.pipe(
        map(() => notice(this.#chat.closing ? 'The server is going down. Goodbye.' : 'Your time is over. Goodbye.')),
        takeUntil(this.#over),
      ),
      defer(() => {
        this.#welcome();
        return input(connection);
      }).pipe(
        takeUntil(this.#over),
        catchError((error: unknown) => {
          this.#apologise(error);
          return throwError(() => error);
        }),
        tap({ complete: () => this.#end() }),
      ),
    ).pipe(finalize(() => this.#leave()));
  }

  tell(text: string): void {
    this.#private.next(text);
  }

  #welcome(): void {
    this.#notice(`Welcome to the chat on ${this.#chat.options.serverName}. You are ${this.#me.name}.`);
    this.#notice('/name NAME gives you another name, /join ROOM takes you to a room, /help tells the rest.');
    if (!this.#chat.connected) this.tell(LOST);
  }

  get #me(): Known {
    return this.#chat.presence.person(this.#connection.id);
  }

  #hear(line: string): Observable<never> | undefined {
    this.#chat.options.heard?.();
    const text = harmless(line).trim();
    const [, command, rest = ''] = /^\/([^/\s]\S*)\s*(.*)$/.exec(text) ?? [];
    if (command !== undefined) this.#obey(command.toLowerCase(), rest);
    else if (text !== '') this.#say(text.replace(/^\/\//, '/'));
    return this.#pace.next();
  }

  #obey(command: string, rest: string): void {
    switch (command) {
      case 'name':
        return this.#rename(normal(rest));
      case 'join':
        return this.#join(keyOf(rest));
      case 'leave':
        return this.#depart();
      case 'who':
        return this.#who(rest === '' ? this.#me.room : keyOf(rest));
      case 'rooms':
        return this.#where();
      case 'help':
        for (const text of HELP) this.#notice(text);
        return;
      case 'quit':
        this.#notice('Goodbye.');
        return this.#over.next();
      default:
        return this.#notice(`There is no command /${command}; /help tells which there are.`);
    }
  }

  #say(text: string): void {
    if (this.#me.room !== undefined) this.#chat.presence.say(this.#connection.id, text);
    else
      this.#notice(
        'You are in no room, and nobody hears you. /join ROOM takes you to one, /rooms tells which there are.',
      );
  }

  #rename(name: string): void {
    const wrong = wrongWith(name);
    if (wrong !== undefined) return this.#notice(`'${name}' ${wrong}.`);
    if (!this.#chat.presence.rename(this.#connection.id, name))
      return this.#notice(`Somebody is called ${name} already.`);
    // In a room all are told, and so is he.
    if (this.#me.room === undefined) this.#notice(`You are ${name} now.`);
  }

  #join(name: string): void {
    const { presence, rooms, options } = this.#chat;
    const wrong = wrongWith(name);
    if (wrong !== undefined) return this.#notice(`'${name}' ${wrong}.`);
    if (this.#me.room === name) return this.#notice(`You are in ${name} already.`);
    const room = rooms.open(name);
    if (!room) return this.#notice('There are too many rooms: /rooms tells which you may join.');

    this.#rooms.next(EMPTY);
    presence.move(this.#connection.id, name);
    this.#private.next(room.history.join(''));
    const others = this.#names(name).filter((other) => other !== this.#me.name);
    this.#notice(`You are in ${name}, ${others.length === 0 ? 'alone' : `with ${list(others)}`}.`);
    this.#rooms.next(room.members.to(this.#connection, options.member));
  }

  #depart(): void {
    const { room } = this.#me;
    if (room === undefined) return this.#notice('You are in no room.');
    this.#rooms.next(EMPTY);
    this.#chat.presence.move(this.#connection.id, undefined);
    this.#notice(`You have left ${room}.`);
  }

  #who(room: string | undefined): void {
    if (room === undefined)
      return this.#notice('You are in no room: /who ROOM tells who is there, /rooms where people are.');
    const names = this.#names(room);
    this.#notice(names.length === 0 ? `Nobody is in ${room}.` : `In ${room}: ${list(names, MOST)}.`);
  }

  #where(): void {
    const rooms = this.#chat.presence.people.rooms
      .toSorted(([one], [other]) => alphabet.compare(one, other))
      .map(([room, count]) => `${room} (${count})`);
    this.#notice(rooms.length === 0 ? 'Nobody is in any room.' : `Rooms: ${list(rooms, MOST)}.`);
  }

  /** Who is in a room, and on which server if it is another one. */
  #names(room: string): string[] {
    const { server } = this.#me;
    return this.#chat.presence.people
      .inRoom(room)
      .toSorted((one, other) => alphabet.compare(one.name, other.name))
      .map((one) => (one.server === server ? one.name : `${one.name} (${serverName(one.server)})`));
  }

  #notice(text: string): void {
    this.tell(notice(text));
  }

  #apologise(error: unknown): void {
    if (error instanceof FrameTooLongError) this.#notice(`A line may have ${error.limit} bytes. Goodbye.`);
    if (error instanceof DeadlineError) this.#notice('You were silent for too long. Goodbye.');
  }

  /** Nothing more is to be obeyed. In a drain what waits for a slow reader still leaves. */
  #end(): void {
    if (!this.#connection.isDraining) {
      this.#rooms.next(EMPTY);
      this.#over.next();
    }
    this.#rooms.complete();
    this.#private.complete();
  }

  #leave(): void {
    this.#chat.guests.delete(this.#connection.id);
    this.#chat.presence.leave(this.#connection.id);
  }
}
