import { connect } from '@nats-io/transport-node';
import { BehaviorSubject, distinctUntilChanged, from, Subject } from 'rxjs';
import type { Bus } from './bus.ts';
import { type Message, readMessage } from './message.ts';

export interface NatsOptions {
  /** What this server is called in NATS's own lists. */
  readonly name: string;
  /** What the subjects of this chat begin with. Servers with the same one are one chat. */
  readonly subject: string;
}

/** Milliseconds between two attempts to connect again; as much again is left to chance, so that not all come at once. */
const AGAIN = 250;
/** Milliseconds between two pings. After two without an answer the connection is taken for lost. */
const PING = 2000;
/** How long to wait for NATS, to connect or to take the last messages, in milliseconds. */
const PATIENCE = 3000;

/**
 * The bus of any number of machines: NATS. A connection that is lost is made again, for as long as it takes.
 *
 * @param url `nats://[user[:password]@]host:port`, or `tls://…`.
 * @throws NATS's own error if it cannot be reached to begin with.
 */
export async function natsBus(url: URL, { name, subject }: NatsOptions): Promise<Bus> {
  const { protocol, host, username, password } = url;
  const connection = await connect({
    servers: host,
    name,
    ...(protocol === 'tls:' && { tls: {} }),
    ...(username !== '' && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
    // What is said here is told here at once, and so also while NATS is away.
    noEcho: true,
    timeout: PATIENCE,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: AGAIN,
    reconnectJitter: AGAIN,
    pingInterval: PING,
  });
  const heard = new Subject<Message>();
  const faults = new Subject<unknown>();
  const connected = new BehaviorSubject(true);

  connection.subscribe(`${subject}.>`, {
    // An error that left this function would end the client's own reading.
    callback: (error, message) => {
      try {
        if (error) throw error;
        heard.next(readMessage(message.string()));
      } catch (fault) {
        faults.next(fault);
      }
    },
  });
  from(connection.status()).subscribe({
    next: (status) => {
      if (status.type === 'disconnect') connected.next(false);
      if (status.type === 'reconnect') connected.next(true);
      if (status.type === 'error') faults.next(status.error);
    },
    error: (error) => faults.next(error),
  });

  return {
    heard,
    connected: connected.pipe(distinctUntilChanged()),
    faults,
    send(message) {
      // The client would keep what is said meanwhile, without a limit, and throw it away in the end.
      if (connected.value) connection.publish(`${subject}.${message.type}`, JSON.stringify(message));
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, PATIENCE);
      });
      if (connected.value) await Promise.race([connection.flush().catch((error) => faults.next(error)), late]);
      clearTimeout(timer);
      await connection.close();
    },
  };
}
