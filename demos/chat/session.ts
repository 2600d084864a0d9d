import {
  BehaviorSubject,
  catchError,
  concat,
  defer,
  EMPTY,
  finalize,
  map,
  merge,
  type Observable,
  type OperatorFunction,
  of,
  switchMap,
  takeUntil,
  takeWhile,
  tap,
  throwError,
} from 'rxjs';
import {
  broadcast,
  type Connection,
  type Data,
  DeadlineError,
  exchange,
  FrameTooLongError,
  type MemberOptions,
} from '../../lib/index.ts';
import type { Chat, Room } from './chat.ts';
import { commands } from './commands.ts';
import { harmless, notice, serverName } from './text.ts';

export interface SessionOptions {
  /** From bytes to lines. */
  readonly decode: OperatorFunction<Uint8Array, string>;
  /** What to await before the next line is read: who writes too fast is held back by his own TCP, and loses nothing. */
  readonly pause: Observable<never>;
  /** What becomes of those who read too slowly. */
  readonly member: MemberOptions;
}

/** The chat as a handler: what one user is sent, while what they send is obeyed. */
export const converse =
  (chat: Chat, { decode, pause, member }: SessionOptions) =>
  (connection: Connection): Observable<Data> =>
    defer(() => {
      const { id, draining } = connection;
      const mail = broadcast();
      const room = new BehaviorSubject<Room | undefined>(undefined);
      chat.mails.set(id, mail);
      chat.presence.enter(id);
      const obey = commands(chat, id, room);

      const texts = (bytes: Observable<Uint8Array>) =>
        bytes.pipe(
          decode,
          map((line) => harmless(line).trim()),
          takeWhile((text) => !/^\/quit(\s|$)/i.test(text), true),
        );
      const answers = exchange(texts, (text) => concat(of(obey(text)), pause));
      const conversation = concat(of(welcome(chat, id)), answers(connection)).pipe(
        catchError((error) =>
          concat(
            of(apology(error)),
            throwError(() => error),
          ),
        ),
        // In a drain what waits for a slow reader still leaves.
        tap({ complete: () => connection.isDraining || connection.end() }),
      );
      const inRoom = room.pipe(
        takeUntil(draining),
        switchMap((one) => one?.members.to(connection, member) ?? EMPTY),
      );
      const goodbye = draining.pipe(map(() => (chat.closing ? CLOSING : EXPIRED)));
      return merge(mail.to(connection, member), inRoom, goodbye, conversation).pipe(
        finalize(() => {
          chat.mails.delete(id);
          chat.presence.leave(id);
        }),
      );
    });

const CLOSING = notice('The server is going down. Goodbye.');
const EXPIRED = notice('Your time is over. Goodbye.');

function welcome({ presence, outlook }: Chat, id: number): string {
  return (
    notice(
      `Welcome to the chat on ${serverName(presence.server)}. You are ${presence.person(id).name}.`,
      '/name NAME gives you another name, /join ROOM takes you to a room, /help tells the rest.',
    ) + outlook()
  );
}

function apology(error: unknown): string {
  if (error instanceof FrameTooLongError) return notice(`A line may have ${error.limit} bytes. Goodbye.`);
  return error instanceof DeadlineError ? notice('You were silent for too long. Goodbye.') : '';
}
