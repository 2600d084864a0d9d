import { catchError, concat, defer, EMPTY, finalize, type Observable, of, takeWhile } from 'rxjs';
import { type Connection, type Data, DeadlineError, exchange, frames, type RefusalReason } from '../../lib/index.ts';
import { SmtpDecoder } from './decoder.ts';
import { closing, isLast, reply } from './replies.ts';
import { Session, type SessionOptions } from './session.ts';

/** A server of mail. */
export interface Mail extends Omit<SessionOptions, 'peer' | 'security' | 'upgrade'> {
  /** Whether STARTTLS is offered. Then the server needs the options `tls` and `startTls`. */
  readonly startTls: boolean;
  /** Whether the server is stopping. Otherwise a connection that is asked to finish has reached its `lifetime`. */
  readonly isStopping: () => boolean;
}

/**
 * SMTP as a handler. The server speaks first. Then it answers each frame of the client before it reads the next one, until QUIT.
 * Where a deadline passes, or the connection is asked to finish, the last reply is 421.
 */
export const converse =
  (mail: Mail) =>
  (connection: Connection): Observable<Data> => {
    const { host, maxSize, startTls, isStopping } = mail;
    const session = new Session({
      ...mail,
      peer: connection.peer.address,
      security: () => connection.security,
      upgrade: startTls ? (ready) => upgrade(connection, ready) : undefined,
    });
    const answers = exchange(
      frames(() => new SmtpDecoder(session, maxSize)),
      (frame) => session.execute(frame),
      { onError: (error) => lateStore(mail, error) },
    );
    const last = defer(() => {
      if (!connection.isDraining) return EMPTY;
      return of(closing('4.3.2', host, isStopping() ? 'is shutting down' : 'limits the time of a connection'));
    });
    return concat(of(reply(220, `${host} ESMTP Sluice`)), answers(connection), last).pipe(
      catchError((error) => of(lastWords(host, error))),
      takeWhile((text) => !isLast(String(text)), true),
      finalize(() => session.close()),
    );
  };

/** The reply to a client whose silence has lasted too long. Any other error ends the connection without one. */
function lastWords(host: string, error: unknown): string {
  if (error instanceof DeadlineError) return closing('4.4.2', host, 'has waited for too long');
  throw error;
}

/** The store has not answered in time. What becomes of the message is unknown, so the client may have to send it again. */
function lateStore({ host, failed }: Mail, error: unknown): string {
  if (!(error instanceof DeadlineError) || error.deadline !== 'reply') throw error;
  failed?.(error);
  return closing('4.3.0', host, 'cannot store messages now');
}

/** The reply to a client that is not served. */
export function refusal(host: string, reason: RefusalReason, sentence?: string): string {
  const own = reason === 'draining' ? 'is shutting down' : 'has too many connections';
  return closing('4.3.2', host, sentence ?? own);
}

/** Commands in clear text behind STARTTLS may have been injected. They are not executed: the connection is closed. */
async function upgrade(connection: Connection, ready: string): Promise<void> {
  void connection.write(ready);
  await connection.upgrade();
}
