import type { Observable, OperatorFunction } from 'rxjs';
import type { Closed, Paused, Security, Via } from '../events.ts';
import type { TlsClientOptions, TlsOptions } from '../tls/tlsSide.ts';
import type { Address } from '../transport/transport.ts';
import { Bytes } from './bytes.ts';
import type { Data } from './writeQueue.ts';

/**
 * One peer: an Observable of the bytes that it sends, and the means to reply.
 *
 * ```text
 * connection   --bytes----bytes-bytes---|    the peer sent a FIN
 *              --bytes----#                  the connection was aborted: ConnectionClosedError
 * ```
 *
 * **Cold**: nothing is read before the subscription, and there can be only one subscription. Chunks are copies that the
 * subscriber may keep; the framing operators of this library read in place instead when applied directly. The input completes
 * on the peer's FIN. Requests that came before it can still be answered, because TCP is half-open then. With the option
 * `halfOpen: false` the connection ends once those requests are answered. Unsubscribing ends the connection, unless a `send()` is
 * active: then further input is discarded, and the connection ends when that `send()` is done.
 *
 * **Ending lingers**: after our FIN, input is read and discarded until the peer's FIN, or for `linger` ms. Closing a socket
 * with unread input would send a RST, and a RST can destroy replies that are still in flight.
 */
export abstract class Connection extends Bytes {
  /** Unique among the connections of one listener: 1, 2, 3 … in the order of accept. */
  abstract readonly id: number;
  /** The remote address: that of the client, also behind a proxy that sends a PROXY header. */
  abstract readonly peer: Address;
  /** The proxy, if a PROXY header came first. */
  abstract readonly via: Via | undefined;
  /** What the TLS handshake negotiated; `undefined` without TLS. */
  abstract readonly security: Security | undefined;
  /** When it was accepted, in milliseconds since 1970. */
  abstract readonly openedAt: number;
  /** The local address, while the socket is open. */
  abstract readonly local: Address;
  /** Bytes received so far. */
  abstract readonly bytesIn: number;
  /** Bytes sent so far. */
  abstract readonly bytesOut: number;
  /** Bytes that were written and have not been sent yet. */
  abstract readonly unsent: number;
  /** Values that were dropped because the peer reads too slowly. */
  abstract readonly dropped: number;
  /** How long the input has been paused, for each cause. */
  abstract readonly paused: Paused;
  /** Milliseconds since a byte last came or went, or work on a request last ended. */
  abstract readonly idle: number;
  /** Whether the connection has been asked to finish. */
  abstract readonly isDraining: boolean;

  /** Emits once, and completes, when the connection is asked to finish: for a handler that wants to send a last message. */
  abstract readonly draining: Observable<void>;

  /** Emits the close reason and the final figures, and completes; to late subscribers as well. */
  abstract readonly closed: Observable<Closed>;

  /**
   * The end of a handler's pipe: writes what the source emits, in order, and ends the connection when the source completes.
   *
   * ```text
   * source              --a-b---c--|
   * source.pipe(send()) -----------------|   all of it flushed
   * ```
   *
   * Values that are emitted in one callback of the event loop, or in the microtasks that follow, leave in one write as a rule, in
   * several where they are large or come both within a read and after it. While more than `highWaterMark` bytes are
   * unsent, the connection's input is paused. A source that keeps emitting nevertheless reaches `maxOutbound`, and `overrun`
   * decides what happens then. When the source completes, the queue is flushed, our FIN follows, and the result completes. When
   * the source errors, the same happens, and the result errors at once. When the peer aborts, the source is unsubscribed in the
   * same callback and the result completes, so no handler runs on for a closed connection. Unsubscribing aborts the connection.
   *
   * @returns An operator that emits nothing. It errors with the error of the source; with a TypeError for a value that is
   * neither a string nor bytes; and with {@link AlreadySubscribedError} if the connection already has a sender.
   */
  abstract send(): OperatorFunction<Data | undefined, never>;

  /**
   * Writes without a stream: for an `async` function that loops over the frames of the connection. The data leaves in a microtask,
   * before a function goes on that awaits the promise.
   *
   * @param data A string or bytes.
   * @returns A promise that is resolved when there is room for more: at once, or when the peer has taken enough that fewer than
   * `highWaterMark` bytes are unsent. The input is not paused meanwhile, unless a `send()` is active. It is rejected with
   * {@link ConnectionClosedError} if the connection closes or its output is ended first, by `end()` or `halfClose()`: what
   * was written before is sent all the same. A caller need not await it.
   */
  abstract write(data: Data): Promise<void>;

  /**
   * Ends the connection in good order: flushes what was written, sends a FIN, and discards further input.
   *
   * @param detail Why, in your own words: it is reported in `closed`, or as the reason of `refused` for a waiting connection.
   * @throws TypeError if that is not a string, or empty.
   */
  abstract end(detail?: string): void;

  /**
   * Sends no more and continues to receive: what was written is flushed, and a FIN follows it. The peer sees the end of its
   * input, and may still send. Data written from now on is not sent. The connection ends when its input is over, too.
   */
  abstract halfClose(): void;

  /**
   * Closes at once, with a RST: unsent data is dropped.
   *
   * @param detail Why, in your own words: it is reported in `closed`, or as the reason of `refused` for a waiting connection.
   * @throws TypeError if that is not a string, or empty.
   */
  abstract abort(detail?: string): void;

  /**
   * Rejects a waiting connection and releases its slot: for operators behind `listen` that drop one, such as `filter`. Once
   * the connection is subscribed, as it is when `serve` calls the handler, this does nothing: there, send a last message and
   * complete, or call `end()`.
   *
   * @param reason Reported in the `refused` event. @default 'unwanted'
   */
  abstract refuse(reason?: string): void;

  /**
   * Asks the connection to finish: its input completes at the next frame boundary, as if the peer had sent a FIN. Requests in
   * progress are answered, and no further one begins.
   *
   * @param detail Why, in your own words: it is reported in `closed`. A second call changes nothing.
   * @throws TypeError if that is not a string, or empty.
   */
  abstract drain(detail?: string): void;

  /**
   * Begins TLS in the middle of a conversation, as STARTTLS does. On a connection of `connect` our side is the client.
   *
   * What was written before is sent in clear text, and what is written meanwhile after the handshake. The input is paused
   * meanwhile, and the same operators go on with it afterwards. Call it when the command that asks for TLS is read, and
   * before the next one is: in a loop, a generator, or an `exchange` that handles one request at a time. What else has come in
   * clear text may have been injected, so it is not passed on, and the connection is closed. Forget what the peer said before.
   *
   * @param tls What `node:tls` takes for a server, such as `cert` and `key`; for a client what `connect` takes as `tls`. An
   * object is read once, so use the same one for many connections, and a new one for other certificates. `true` stands for the
   * option `tls` of a server with `startTls`, and for the defaults of a client. @default true
   * @returns What was negotiated, as {@link security} is from then on. It is rejected with {@link TlsError} if the handshake fails,
   * or if bytes have come in clear text (`ERR_TLS_CLEAR_TEXT`): the connection is closed as `tls`. With {@link DeadlineError},
   * `handshake`, if it takes longer than that option, for a client `timeout`. With {@link ConnectionClosedError} if the
   * connection closes, or its output has been ended. With a TypeError for options that `node:tls` does not take, and if TLS
   * has begun already; then the connection stays as it is. A caller need not await it.
   */
  abstract upgrade(tls?: TlsOptions | TlsClientOptions | true): Promise<Security>;

  /**
   * Reports bytes that are held for this connection outside of it, such as a transaction that its peer has begun. The server's
   * `budget` counts them with what the connection holds itself.
   *
   * @param bytes How many more; negative for how many fewer.
   */
  abstract holdElsewhere(bytes: number): void;
}
