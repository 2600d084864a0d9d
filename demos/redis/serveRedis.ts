import { defer, finalize, interval, type Observable, type ObservableInput, tap } from 'rxjs';
import {
  type Address,
  type Connection,
  type Live,
  type ServeOptions,
  type ServerEvent,
  serve,
  type Where,
} from '../../lib/index.ts';
import { address } from '../support/format.ts';
import { converse, farewell } from './converse.ts';
import type { Database } from './database.ts';
import type { RequestLimits } from './resp/request.ts';

export interface RedisOptions extends RequestLimits, Pick<ServeOptions, 'proxy' | 'tls'> {
  /** Clients at once; a further client is sent an error and closed. @default 10000 */
  readonly maxClients?: Live<number> | undefined;
  /** How long a request may take from its first byte to its last, in milliseconds. @default 60000 */
  readonly frame?: Live<number> | undefined;
  /** Bytes that all clients together may hold; an option of `serve`. */
  readonly budget?: number;
  /** How long clients may take to finish when the server drains, in milliseconds. @default 10000 */
  readonly grace?: number;
  /** Starts the drain; an option of `serve`. @default never */
  readonly shutdown?: ObservableInput<unknown> | undefined;
}

/** Milliseconds between two runs of the periodic work: expired keys, and clients that exceed a limit. */
const TICK = 100;

/**
 * Serves a database to clients that speak the Redis protocol.
 *
 * As in Redis, a client may be silent forever, and a client above the limit is refused at once. The database limits how much a
 * subscriber may have unsent, so `serve` does not: a reply may be as long as a value.
 *
 * @param where Where to listen.
 * @param db The state that all clients share. The caller opens its log, if there is one, and closes it afterwards.
 * @returns The events of `serve`.
 */
export function serveRedis(
  where: Where,
  db: Database,
  {
    maxClients = 10_000,
    frame = 60_000,
    budget,
    grace = 10_000,
    shutdown = [],
    tls,
    proxy,
    ...limits
  }: RedisOptions = {},
): Observable<ServerEvent> {
  const handler = (connection: Connection): Observable<Uint8Array> =>
    converse(db, connection, {
      ...limits,
      address: formatted(connection.peer),
      localAddress: formatted(connection.local),
      unsent: () => connection.unsent,
      moved: () => connection.bytesIn + connection.bytesOut,
      // A client that has received everything gets a FIN, any other a RST.
      abort: (why) => (connection.unsent > 0 ? connection.abort(why) : connection.end(why)),
      held: (bytes) => connection.holdElsewhere(bytes),
    });
  const server = serve(where, handler, {
    concurrency: maxClients,
    waiting: { max: 0 },
    farewell,
    greeting: Number.POSITIVE_INFINITY,
    idle: Number.POSITIVE_INFINITY,
    stall: Number.POSITIVE_INFINITY,
    maxOutbound: Number.POSITIVE_INFINITY,
    frame,
    grace,
    shutdown,
    ...(budget === undefined ? {} : { budget }),
    ...(tls === undefined ? {} : { tls }),
    ...(proxy === undefined ? {} : { proxy }),
  });
  return defer(() => {
    const ticking = interval(TICK).subscribe(() => db.tick());
    return server.pipe(
      tap((event) => {
        if (event.type === 'refused') db.stats.refused++;
        if (event.type === 'listening') db.config.set('port', String(event.address.port ?? 0));
      }),
      finalize(() => ticking.unsubscribe()),
    );
  });
}

/** An address in the format of CLIENT LIST. */
const formatted = ({ address: host, port }: Address): string =>
  host === undefined ? '' : port === undefined ? `${host}:0` : address(host, port);
