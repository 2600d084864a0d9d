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

/** What chat servers hear each other by, and themselves. What a server sends it hears at once; the others hear it in its order. */
export interface Bus {
  /** What is said on any server: hot. */
  readonly heard: Observable<Message>;
  /** Whether other servers can be reached: emits at once, and whenever it changes. */
  readonly connected: Observable<boolean> & { readonly value: boolean };
  /** Tells all. What is sent while the others cannot be reached is heard here alone. */
  send(message: Message): void;
  /** Lets go of the bus once what was sent has left. */
  close(): Promise<void>;
}

/** The bus of a server that is alone. */
export function localBus(): Bus {
  const heard = new Subject<Message>();
  return { heard, connected: new BehaviorSubject(true), send: (message) => heard.next(message), close: async () => {} };
}

const SUBJECT = 'sluice-chat';
/** How long to wait for NATS, to connect or to take the last messages, in milliseconds. */
const PATIENCE = 3000;

/**
 * The bus of any number of machines: NATS. A connection that is lost is made again, for as long as it takes.
 *
 * @param url `nats://[user[:password]@]host:port`, or `tls://…`.
 * @param server What this server is called, there and in NATS's own lists.
 * @param warn Is told what goes wrong and ends nothing.
 * @throws NATS's own error if it cannot be reached to begin with.
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
    // Two pings without an answer, and the connection is taken for lost.
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
    heard: merge(here, elsewhere),
    connected,
    send(message) {
      here.next(message);
      // The client would keep what is said meanwhile, without a limit, and throw it away in the end.
      if (connected.value) nats.publish(SUBJECT, JSON.stringify(message));
    },
    async close() {
      if (connected.value) await firstValueFrom(race(from(nats.drain()), timer(PATIENCE))).catch(warn);
      await nats.close();
    },
  };
}
