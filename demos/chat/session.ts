import {
  BehaviorSubject,
  catchError,
  EMPTY,
  finalize,
  map,
  merge,
  type Observable,
  type OperatorFunction,
  pipe,
  startWith,
  switchMap,
  takeUntil,
  takeWhile,
  tap,
} from 'rxjs';
import { broadcast, type Connection, type Data, DeadlineError, exchange, FrameTooLongError } from '../../lib/index.ts';
import type { Chat, Room } from './chat.ts';
import { commands } from './commands.ts';
import { harmless, notice, serverName } from './text.ts';

export interface SessionOptions {
  /** From bytes to lines. */
  readonly decode: OperatorFunction<Uint8Array, string>;
  /** What to await before the next line is read: who writes too fast is held back by his own TCP, and loses nothing. */
  readonly pause: Observable<never>;
}

/** The chat as a handler: what one user is sent, while what they send is obeyed. */
export const converse =
  (chat: Chat, { decode, pause }: SessionOptions) =>
  (connection: Connection): Observable<Data> => {
    const { id, draining } = connection;
    const mail = broadcast();
    const room = new BehaviorSubject<Room | undefined>(undefined);
    chat.mails.set(id, mail);
    chat.enter(id);
    const obey = commands(chat, id, room);

    const texts = pipe(
      decode,
      map((line) => harmless(line).trim()),
      takeWhile((text) => !/^\/quit(\s|$)/i.test(text), true),
    );
    const answers = exchange(texts, (text) => pause.pipe(startWith(obey(text))))(connection).pipe(
      startWith(welcome(chat, id)),
      catchError(function* (error) {
        yield apology(error);
        throw error;
      }),
      // In a drain what waits for a slow reader still leaves.
      tap({ complete: () => connection.isDraining || connection.end() }),
    );
    const inRoom = room.pipe(
      takeUntil(draining),
      switchMap((one) => one?.members.to(connection) ?? EMPTY),
    );
    const goodbye = draining.pipe(map(() => (chat.closing ? CLOSING : EXPIRED)));
    return merge(mail.to(connection), inRoom, goodbye, answers).pipe(
      finalize(() => {
        chat.mails.delete(id);
        chat.leave(id);
      }),
    );
  };

const CLOSING = notice('The server is going down. Goodbye.');
const EXPIRED = notice('Your time is over. Goodbye.');

function welcome({ server, person, outlook }: Chat, id: number): string {
  return (
    notice(
      `Welcome to the chat on ${serverName(server)}. You are ${person(id).name}.`,
      '/name NAME gives you another name, /join ROOM takes you to a room, /help tells the rest.',
    ) + outlook()
  );
}

function apology(error: unknown): string {
  if (error instanceof FrameTooLongError) return notice(`A line may have ${error.limit} bytes. Goodbye.`);
  return error instanceof DeadlineError ? notice('You were silent for too long. Goodbye.') : '';
}
