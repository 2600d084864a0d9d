import { defer, finalize, interval, type Observable, type ObservableInput, tap } from 'rxjs';
import { type Address, type Connection, type ServerEvent, serve, type Where } from '../../lib/index.ts';
import { address } from '../support/format.ts';
import { converse, farewell } from './converse.ts';
import type { Database } from './database.ts';
import type { RequestLimits } from './resp/request.ts';

export interface RedisOptions extends RequestLimits {
  /** Clients at once; one more is told so, and closed. @default 10000 */
  readonly maxClients?: number;
  /** How long a request that has begun may take to end, in milliseconds. @default 60000 */
  readonly frame?: number;
  /** Bytes that all clients may hold together, as `serve` has it. */
  readonly budget?: number;
  /** How long clients have to finish when the server ends, in milliseconds. @default 10000 */
  readonly grace?: number;
  /** Ends the server, as `serve` has it. @default never */
  readonly shutdown?: ObservableInput<unknown>;
}

/** Milliseconds between two looks at what is due: keys that expire, clients that are slow. */
const TICK = 100;

/**
 * Serves a database to clients that speak the Redis protocol.
 *
 * As with Redis, a client may be silent for ever, and one that finds no room is refused at once. How much a subscriber
 * may have unsent the database's own limits say, so `serve` sets none: a reply may be as large as a value is.
 *
 * @param where Where to listen.
 * @param db What all clients share. Its log, if it has one, is the caller's to open before and to close after.
 * @returns Events, as `serve` has them.
 */
export function serveRedis(
  where: Where,
  db: Database,
  { maxClients = 10_000, frame = 60_000, budget, grace = 10_000, shutdown = [], ...limits }: RedisOptions = {},
): Observable<ServerEvent> {
  const handler = (connection: Connection): Observable<Uint8Array> =>
    converse(db, connection, {
      ...limits,
      address: written(connection.peer),
      localAddress: written(connection.local),
      unsent: () => connection.unsent,
      moved: () => connection.bytesIn + connection.bytesOut,
      // One that has all it was sent is told so by a FIN, any other by a RST.
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

/** As CLIENT LIST writes it. */
const written = ({ address: host, port }: Address): string =>
  host === undefined ? '' : port === undefined ? `${host}:0` : address(host, port);
