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
  /** Ours. @default '' */
  readonly localAddress?: string;
  /** Bytes of ours that have not left. @default none */
  readonly unsent?: () => number;
  /** Bytes that have come or left. @default none */
  readonly moved?: () => number;
  /** Closes the connection of a client that is cut off, with the reason in a sentence: what has not left need not leave. */
  readonly abort?: (why: string) => void;
  /** Is told how many bytes more are kept for the client beside its keys; negative for fewer. */
  readonly held?: (bytes: number) => void;
}

const none = (): number => 0;

/** What a client is told that is not served. */
export function farewell(reason: RefusalReason): ByteString {
  switch (reason) {
    case 'budget':
      return failure('OOM clients hold more memory than they may');
    case 'draining':
      return failure('ERR the server is shutting down');
    default:
      return failure('ERR max number of clients reached');
  }
}

/**
 * One client's conversation: requests in, replies and messages out. It completes when the client says QUIT or is
 * killed, after the reply to bytes that are no request, and with its source. It errors when the client is cut off.
 *
 * @param db What all clients share.
 * @param source The client's bytes.
 * @returns The bytes to send, those of one turn in one piece.
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
        const there = db.limits.hold(bytes);
        if (there) held?.(bytes);
        return there;
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
          // A defect of ours ends this conversation, and no other.
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
  // Changes are in the log before the client hears of them.
  return replies.pipe(gather({ before: () => db.log?.flush() }));
}
