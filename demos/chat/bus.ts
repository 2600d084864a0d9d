import { connect } from '@nats-io/transport-node';
import {
  BehaviorSubject,
  catchError,
  defer,
  EMPTY,
  filter,
  firstValueFrom,
  from,
  merge,
  mergeMap,
  type Observable,
  of,
  race,
  Subject,
  timer,
} from 'rxjs';
import { type Message, readMessage } from './message.ts';

/**
 * Carries the messages of all chat servers to each of them. A server receives its own messages synchronously; the other
 * servers receive them later, in the order in which they were sent.
 */
export interface Bus {
  /** The messages of all servers, this one included. Hot. */
  readonly messages: Observable<Message>;
  /** Whether other servers can be reached: emits on subscription, and on each change. */
  readonly connected: Observable<boolean> & { readonly value: boolean };
  /** Sends to all servers. While the other servers cannot be reached, only this server receives the message. */
  send(message: Message): void;
  /** Closes the bus once all messages are flushed. */
  close(): Promise<void>;
}

/** The bus of a single server. */
export function localBus(): Bus {
  const messages = new Subject<Message>();
  return {
    messages,
    connected: new BehaviorSubject(true),
    send: (message) => messages.next(message),
    close: async () => {},
  };
}

const SUBJECT = 'sluice-chat';
/** Time that NATS has to accept the connection, or to take the last messages, in milliseconds. */
const PATIENCE = 3000;

/**
 * The bus of any number of machines: NATS. A lost connection is made again, with any number of attempts.
 *
 * @param url `nats://[user[:password]@]host:port`, or `tls://…`.
 * @param server The name of this server, in its messages and in NATS's own lists.
 * @param warn Called with errors after which the bus continues.
 * @throws NATS's own error if the first connection cannot be made.
 */
export async function natsBus(url: URL, server: string, warn: (error: unknown) => void): Promise<Bus> {
  const { protocol, host, username, password } = url;
  const nats = await connect({
    servers: host,
    name: server,
    ...(protocol === 'tls:' && { tls: {} }),
    ...(username !== '' && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
    noEcho: true,
    timeout: PATIENCE,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    // After two pings without an answer the client treats the connection as lost.
    pingInterval: 2000,
  });
  const connected = new BehaviorSubject(true);
  from(nats.status()).subscribe((status) => {
    if (status.type === 'disconnect' && connected.value) connected.next(false);
    if (status.type === 'reconnect') connected.next(true);
    if (status.type === 'error') warn(status.error);
  });
  const here = new Subject<Message>();
  const warned = (error: unknown) => {
    warn(error);
    return EMPTY;
  };
  const elsewhere = from(nats.subscribe(SUBJECT)).pipe(
    mergeMap((message) => defer(() => of(readMessage(message.string()))).pipe(catchError(warned))),
    filter((message) => message.server !== server),
    catchError(warned),
  );
  return {
    messages: merge(here, elsewhere),
    connected,
    send(message) {
      here.next(message);
      // Not published while disconnected: the client would buffer messages without a limit, and discard them in the end.
      if (connected.value) nats.publish(SUBJECT, JSON.stringify(message));
    },
    async close() {
      if (connected.value) await firstValueFrom(race(from(nats.drain()), timer(PATIENCE))).catch(warn);
      await nats.close();
    },
  };
}
