import { Observable, type Subscriber } from 'rxjs';
import { OutputSubscriber } from '../connection/send.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { Data } from '../connection/writeQueue.ts';
import { endOfCallback } from '../time/eventLoop.ts';

/** What a served connection needs of its server. */
export interface ConnectionServer {
  /** Whether the port is open. Where it is not, a connection is served only to finish at once. */
  readonly isAccepting: boolean;
  /** The handler of a connection failed. */
  failed(connection: SocketConnection, error: unknown): void;
  /** A connection has finished as it was asked to. @returns What to send before our FIN. */
  lastCall(connection: SocketConnection): Data | undefined;
}

/**
 * Runs the handler of a connection and sends its replies. Completes when the socket is closed, because only then there is
 * room for another connection. It never errors: a failure ends the connection and is reported to the server.
 *
 * @param reply Calls the handler.
 */
export function serveConnection(
  connection: SocketConnection,
  server: ConnectionServer,
  reply: (connection: SocketConnection) => Observable<Data | undefined>,
): Observable<never> {
  return new Observable((subscriber) => {
    const served = new Served(connection, server, subscriber);
    if (connection.usage.attach(served)) {
      try {
        connection.inContext(() => reply(connection).subscribe(served));
      } catch (error) {
        served.error(error);
      }
      connection.usage.handlerStarted();
    } else if (!connection.taken || connection.isClosed) {
      // It was refused, or its peer left, before `mergeMap` subscribed to it: the slot is for the next connection.
      endOfCallback(connection.clock, () => connection.inContext(() => served.freed()));
    }
    // It was handed out before the port was closed, or the signal came while the handler was called.
    if (!server.isAccepting) connection.drain();
  });
}

/** Subscribes to the replies of one connection, and waits for its socket. */
class Served extends OutputSubscriber<SocketConnection> {
  readonly #server: ConnectionServer;
  readonly #subscriber: Subscriber<never>;

  constructor(connection: SocketConnection, server: ConnectionServer, subscriber: Subscriber<never>) {
    super(connection);
    this.#server = server;
    this.#subscriber = subscriber;
  }

  /** Does nothing: the end is that of the socket, not that of the replies. */
  flushed(): void {}

  failed(error: unknown): void {
    this.#server.failed(this.connection, error);
  }

  lastCall(): Data | undefined {
    return this.#server.lastCall(this.connection);
  }

  override freed(): void {
    // That begins the connection which waits for the place.
    if (this.connection.hasContext) this.connection.inNoContext(() => this.#subscriber.complete());
    else this.#subscriber.complete();
  }
}
