import { Observable } from 'rxjs';
import type { RefusalReason } from '../../lib/index.ts';
import type { Peer } from './client.ts';
import { commandOf } from './commands/table.ts';
import type { Database } from './database.ts';
import { gather } from './resp/gather.ts';
import { type ByteString, failure, type Reply } from './resp/reply.ts';
import { ProtocolError, type RequestLimits } from './resp/request.ts';
import { requests } from './resp/requests.ts';
import { Session } from './session.ts';

export interface ConverseOptions extends RequestLimits {
  /** The peer's `host:port`. @default '' */
  readonly address?: string;
  /** The local `host:port`. @default '' */
  readonly localAddress?: string;
  /** Returns how many bytes were emitted and have not been sent yet. @default none */
  readonly unsent?: () => number;
  /** Returns how many bytes have been received and sent. @default none */
  readonly moved?: () => number;
  /** Closes the connection of a client that exceeds a limit, with the reason in a sentence. Unsent data may be dropped. */
  readonly abort?: (why: string) => void;
  /** Called with how many more bytes are stored for the client beside the keys; negative for fewer. */
  readonly held?: (bytes: number) => void;
}

const none = (): number => 0;

/** The error that a refused client is sent. */
export function farewell(reason: RefusalReason): ByteString {
  switch (reason) {
    case 'budget':
      return failure('OOM clients use more memory than allowed');
    case 'draining':
      return failure('ERR the server is shutting down');
    default:
      return failure('ERR max number of clients reached');
  }
}

/**
 * The conversation with one client: requests in, replies and messages out. It completes after QUIT, when the client is killed,
 * after the error reply to an invalid request, and with its source. It errors when the client exceeds one of the limits.
 *
 * @param db The state that all clients share.
 * @param source The bytes that the client sends.
 * @returns The bytes to send. Replies and messages of one callback are joined.
 */
export function converse(
  db: Database,
  source: Observable<Uint8Array>,
  { address = '', localAddress = '', unsent = none, moved = none, abort, held, ...limits }: ConverseOptions = {},
): Observable<Uint8Array> {
  const replies = new Observable<ByteString>((subscriber) => {
    const send = (reply: Reply): void => {
      if (typeof reply === 'string') subscriber.next(reply);
      else for (const piece of reply) subscriber.next(piece);
    };
    const peer: Peer = {
      address,
      localAddress,
      push: send,
      close: () => subscriber.complete(),
      abort: (error) => {
        abort?.(error.message);
        subscriber.error(error);
      },
      hold: (bytes) => {
        const fits = db.limits.hold(bytes);
        if (fits) held?.(bytes);
        return fits;
      },
      maxReply: db.limits.reply,
      get unsent() {
        return unsent();
      },
      get moved() {
        return moved();
      },
    };
    const session = new Session(db, peer, commandOf);
    subscriber.add(() => session.leave());
    const subscription = source.pipe(requests(limits)).subscribe({
      next: (request) => {
        let reply: Reply;
        try {
          reply = session.handle(request);
        } catch (error) {
          // A bug in a command ends this conversation only.
          subscriber.error(error);
          return;
        }
        if (reply !== '') send(reply);
        if (session.closing) subscriber.complete();
      },
      error: (error) => {
        if (error instanceof ProtocolError) {
          subscriber.next(failure(error.reply));
          subscriber.complete();
        } else subscriber.error(error);
      },
      complete: () => subscriber.complete(),
    });
    subscriber.add(subscription);
  });
  // Changes are in the log before their replies are sent.
  return replies.pipe(gather({ before: () => db.log?.flush() }));
}
