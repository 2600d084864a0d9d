import type { NextObserver, Observable } from 'rxjs';
import { type ConnectionOptions, connectionChecks } from '../connection/settings.ts';
import type { ListenEvent } from '../events.ts';
import {
  type Check,
  callable,
  describe,
  finiteMilliseconds,
  flag,
  having,
  isData,
  milliseconds,
  object,
  oneOf,
  type PerAddressLimit,
  perAddressLimit,
  perSecond,
  timeLimit,
  whole,
} from '../options.ts';
import { networkList, networks } from '../proxyProtocol/trusted.ts';
import { type TlsOptions, tlsOptions } from '../tls/tlsSide.ts';
import type { Admit } from './admission.ts';
import type { Overflow } from './eviction.ts';
import { orders, type WaitingOrder } from './handOutOrder.ts';
import { type Live, live } from './live.ts';
import type { Farewell } from './refusal.ts';

/** How to listen. Times are in milliseconds; `Infinity` for no limit. */
export interface ListenOptions extends ConnectionOptions {
  /** Where events go: a Subject, or any observer. @default none */
  readonly events?: NextObserver<ListenEvent> | undefined;
  /** Connections that are accepted and not yet subscribed to. */
  readonly waiting?:
    | {
        /**
         * How many may wait; one more is refused as `full`. By default half of the descriptors that the process may have and does not
         * use, if that is less than 1000.
         * @default 1000
         */
        readonly max?: Live<number> | undefined;
        /**
         * Milliseconds that each may wait; then it is refused as `timeout`. With `serve` and `overflow: 'park'` for ever by default.
         * @default 5000
         */
        readonly timeout?: Live<number> | undefined;
        /**
         * Which one is next. `fifo`: the one that has waited longest. `newest`: the one that has waited least; in a full room the one
         * that has waited longest gives way to it. `adaptive`: `fifo`, and `newest` once all have waited for more than 5 ms for
         * 100 ms, until none waits: under sustained overload, clients that have waited long give up before they are served.
         * @default 'fifo'
         */
        readonly order?: WaitingOrder | undefined;
      }
    | undefined;
  /**
   * What happens to connections for which there is no place.
   *
   * - `refuse`: a FIN is sent at once. Their input is read and discarded for 100 ms, for 1000 of them at a time, because a close
   *   with unread input would send a RST. Where the process may have few descriptors, fewer linger.
   * - `park`: the port stops accepting when as many connections wait as may, and goes on when a quarter of them is gone. Clients
   *   wait in the queue of the kernel, whose length is `backlog`. Those whose handshake is complete later may wait besides. One
   *   may wait at least. In a drain the queue is accepted, and served or refused. Only TCP ports on Linux and with `nodeTransport`
   *   can do it; others refuse, and emit one `failed` event when they open.
   * - `evict`: the connection that is worth least is closed for a new one, in good order, as `evicted`: the one that has been idle
   *   longest, at a frame boundary; or the first one by the comparator `evict`, which may be one with a request in progress, that
   *   is finished first. If there is none, the new one waits. One may wait at least.
   * @default 'refuse'
   */
  readonly overflow?: Overflow | undefined;
  /**
   * What is sent to a refused connection before our FIN, or a function from the reason of the refusal, and more about it, to that:
   * `retryAfter` says when the client may come again. Nothing is sent if the function returns `undefined`, or if it throws; then
   * there is a `failed` event, too.
   * @default nothing
   */
  readonly farewell?: Farewell | undefined;
  /**
   * Lets peers in by their address: only those on the list, which has addresses and networks such as `10.0.0.0/8`, and `unix` for
   * all peers of a unix socket. Others are refused as `denied`. An IPv4 address that is mapped into IPv6 is an IPv4 address. Behind a
   * proxy this is the address of the client, as in the next options. The cost grows with the length of the list.
   * @default every peer
   */
  readonly allow?: Live<readonly string[]> | undefined;
  /** The peers that are refused as `denied`, also if they are on `allow`. @default none */
  readonly deny?: Live<readonly string[]> | undefined;
  /** How many connections one peer may have at a time, waiting ones included; one more is refused as `per-address`. */
  readonly perAddress?:
    | {
        /**
         * The default is no fixed number, because many honest clients may share an address: with `serve`, a peer that has more than
         * its share, a tenth of `concurrency` and at least 100 connections, gives way. Once three quarters of the places are taken
         * its further connections wait, and others pass by. Those that wait too long, or for which the waiting room is too full,
         * are refused as `per-address`. With `listen`, and where the port parks, there is no limit. `'share'` stands for this default,
         * as a value of an Observable.
         * @default 'share'
         */
        readonly connections?: Live<PerAddressLimit> | undefined;
        /** How many first bits of an address make a peer, of IPv4 and of IPv6. @default { 4: 32, 6: 64 } */
        readonly prefix?:
          | {
              /** Bits of an IPv4 address, 0 to 32. @default 32 */
              readonly 4?: number | undefined;
              /** Bits of an IPv6 address, 0 to 128. @default 64 */
              readonly 6?: number | undefined;
            }
          | undefined;
      }
    | undefined;
  /** How many connections are accepted in a second. */
  readonly accepts?:
    | {
        /** Connections a second of all peers; others are refused as `rate`. @default Infinity */
        readonly perSecond?: Live<number> | undefined;
        /** How many may come at once after a pause. @default as many as in a second */
        readonly burst?: number | undefined;
        /**
         * The same for each peer: `{ perSecond, burst }`. Others are refused as `rate-per-address`. The last 16 384 peers are
         * remembered. @default no limit
         */
        readonly perAddress?:
          | {
              /** Connections a second of each peer. */
              readonly perSecond: Live<number>;
              /** How many of one peer may come at once after a pause. @default as many as in a second */
              readonly burst?: number | undefined;
            }
          | undefined;
        /** Milliseconds after the port opens in which the rate grows from nothing. @default 0 */
        readonly ramp?: number | undefined;
      }
    | undefined;
  /**
   * The last check: `true` lets a peer in, and a string is the reason for which it is refused. It is called for each connection, and
   * must be quick. If it throws, there is a `failed` event, and the connection is refused as `denied`.
   * @default every peer
   */
  readonly admit?: Admit | undefined;
  /**
   * How many connections may be handed out and not yet subscribed to. This is not a limit for each address, because one
   * address can have all of them: see `perAddress`.
   * @default 1
   */
  readonly ahead?: number | undefined;
  /**
   * TLS: what `tls.createServer` takes (`cert`, `key`, `ca`, `requestCert`, `ALPNProtocols`, `SNICallback`, `minVersion` …), or
   * an Observable of that, such as `certificates({ cert, key })`. With an Observable the port opens when it first emits. Each
   * further value holds for the handshakes that begin after it, and no connection is closed. A value that `node:tls` does not
   * accept, or that lacks the key of a certificate, is refused with a `failed` event, and the one before stays.
   *
   * A connection is handed out when it is secured. At most 2 handshakes begin in one iteration of the event loop.
   * @default no TLS
   */
  readonly tls?: TlsOptions | Observable<TlsOptions> | undefined;
  /**
   * Whether connections begin in clear text, for protocols that begin TLS in the middle of a conversation (STARTTLS): then `tls`
   * holds for `connection.upgrade()`, with its renewals and the event `certificate`. @default false
   */
  readonly startTls?: boolean | undefined;
  /**
   * Milliseconds that a TLS handshake may take, from the accept; then the connection is refused as `deadline`. As many connections as
   * `waiting.max`, and at least 1000, may be in the handshake, besides those that wait. The time also counts as part of
   * `greeting`. @default 10000
   */
  readonly handshake?: number | undefined;
  /**
   * The PROXY protocol, version 1 and 2: `connection.peer` is the client that the header names, and `connection.via` the proxy.
   * The header comes before TLS. A connection whose header is missing or malformed, or that comes from any other address, is
   * refused as `proxy`.
   * @default no header
   */
  readonly proxy?:
    | {
        /** The proxies: addresses and networks, such as `10.0.0.0/8` or `::1`; `unix` for all peers of a unix socket. */
        readonly trusted: readonly string[];
        /**
         * With `optional`, connections without a header are served as well, those of other addresses included. It is then known
         * only by the first bytes whether there is a header. So a client that sends nothing is handed out after `deadline`.
         * @default 'required'
         */
        readonly mode?: 'required' | 'optional' | undefined;
        /** Milliseconds that the header may take, from the accept. @default 5000 */
        readonly deadline?: number | undefined;
      }
    | undefined;
  /** Connections that the kernel completes before they are accepted. It has its own limit, `net.core.somaxconn`. @default 4096 */
  readonly backlog?: number | undefined;
}

const evictions: Check = object({ evict: callable }, 'evict');
const overflow: Check = (value) => {
  if (typeof value === 'object' && value !== null) return evictions(value);
  const isKnown = oneOf('refuse', 'park', 'evict')(value) === undefined;
  return isKnown ? undefined : `must be 'refuse', 'park', 'evict' or { evict: compare }, not ${describe(value)}`;
};

/** How each option is validated. */
export const listenChecks: Record<string, Check> = {
  ...connectionChecks,
  events: having('an observer', 'next'),
  waiting: object({ max: live(whole(0)), timeout: live(milliseconds), order: oneOf(...orders) }),
  overflow,
  farewell: (value) =>
    typeof value === 'function' || isData(value)
      ? undefined
      : `must be a string, a Uint8Array or a function, not ${describe(value)}`,
  allow: live(networkList),
  deny: live(networkList),
  perAddress: object({ connections: live(perAddressLimit), prefix: object({ 4: whole(1, 32), 6: whole(1, 128) }) }),
  accepts: object({
    perSecond: live(perSecond),
    burst: whole(1),
    perAddress: object({ perSecond: live(perSecond), burst: whole(1) }, 'perSecond'),
    ramp: finiteMilliseconds,
  }),
  admit: callable,
  ahead: whole(1),
  tls: tlsOptions,
  startTls: flag,
  handshake: timeLimit,
  proxy: object({ trusted: networks, mode: oneOf('required', 'optional'), deadline: timeLimit }, 'trusted'),
  backlog: whole(1, 0x7fffffff),
  transport: having('a Transport', 'listen'),
};

/**
 * Refuses options that would do nothing because another one is missing.
 *
 * @param what Completes the sentence "Cannot …" of the error.
 * @throws TypeError
 */
export function checkTogether(what: string, { accepts }: Pick<ListenOptions, 'accepts'>): void {
  if (accepts === undefined || accepts.perSecond !== undefined) return;
  const lone = (['burst', 'ramp'] as const).find((name) => accepts[name] !== undefined);
  if (lone !== undefined) throw new TypeError(`Cannot ${what}: accepts.${lone} needs accepts.perSecond`);
}
