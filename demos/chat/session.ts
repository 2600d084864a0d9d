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
  /**
   * Completes when the next line may be read. A peer that writes too fast is slowed down by TCP backpressure, and loses no
   * line.
   */
  readonly pause: Observable<never>;
}

/** The chat as a handler: executes the lines of one user, and emits the lines for that user. */
export const converse =
  (chat: Chat, { decode, pause }: SessionOptions) =>
  (connection: Connection): Observable<Data> => {
    const { id, draining } = connection;
    const mail = broadcast();
    const room = new BehaviorSubject<Room | undefined>(undefined);
    chat.mails.set(id, mail);
    chat.enter(id);
    const execute = commands(chat, id, room);

    const texts = pipe(
      decode,
      map((line) => harmless(line).trim()),
      takeWhile((text) => !/^\/quit(\s|$)/i.test(text), true),
    );
    const answers = exchange(texts, (text) => pause.pipe(startWith(execute(text))))(connection).pipe(
      startWith(welcome(chat, id)),
      catchError(function* (error) {
        yield explanation(error);
        throw error;
      }),
      // Not in a drain: there the lines that are queued for a slow peer are still flushed.
      tap({ complete: () => connection.isDraining || connection.end() }),
    );
    const inRoom = room.pipe(
      takeUntil(draining),
      switchMap((one) => one?.members.to(connection) ?? EMPTY),
    );
    const lastNotice = draining.pipe(map(() => (chat.closing ? CLOSING : EXPIRED)));
    return merge(mail.to(connection), inRoom, lastNotice, answers).pipe(
      finalize(() => {
        chat.mails.delete(id);
        chat.leave(id);
      }),
    );
  };

const CLOSING = notice('The server is shutting down. Goodbye.');
const EXPIRED = notice('This connection has reached its time limit. Goodbye.');

function welcome({ server, person, outlook }: Chat, id: number): string {
  return (
    notice(
      `Welcome to the chat on ${serverName(server)}. You are ${person(id).name}.`,
      '/name NAME changes your name, /join ROOM enters a room, /help lists all commands.',
    ) + outlook()
  );
}

function explanation(error: unknown): string {
  if (error instanceof FrameTooLongError) return notice(`A line may have ${error.limit} bytes at most. Goodbye.`);
  return error instanceof DeadlineError ? notice('You were silent for too long. Goodbye.') : '';
}
