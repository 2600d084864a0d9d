import { getHeapStatistics } from 'node:v8';
import { DeadlineError, SlowConsumerError } from '../../lib/index.ts';
import type { Client } from './client.ts';

/** How much clients may use, with the defaults of Redis. */
export interface ClientLimits {
  /** Silence after which a client is disconnected, in milliseconds. A subscriber may be silent. @default Infinity */
  readonly timeout?: number;
  /** Unsent bytes above which a subscriber is disconnected at once. @default 33554432 */
  readonly hard?: number;
  /** Unsent bytes that a subscriber may exceed for {@link softTime} at most. @default 8388608 */
  readonly soft?: number;
  /** How long a subscriber may exceed {@link soft}, in milliseconds. @default 60000 */
  readonly softTime?: number;
  /**
   * Bytes that may be stored for all clients together beside the keys: what they queue, watch and subscribe to, and their names.
   * @default an eighth of V8's heap limit
   */
  readonly held?: number;
  /**
   * Longest reply, in bytes. A command that only reads is refused if its reply is longer, and a transaction executes no more of
   * its commands.
   * @default 1073741824
   */
  readonly reply?: number;
}

/**
 * Disconnects clients as Redis does.
 *
 * A client that sends requests cannot have much unsent, because its next requests wait until the replies are sent. A subscriber
 * is sent what other clients publish, at their rate, and publishers do not wait for it. So a subscriber with too much unsent is
 * disconnected, and its unsent data is dropped.
 */
export class Limits {
  readonly #timeout: number;
  readonly #hard: number;
  readonly #soft: number;
  readonly #softTime: number;
  readonly #mostHeld: number;
  #held = 0;
  /** Longest reply, in bytes. */
  readonly reply: number;

  constructor({
    timeout = Number.POSITIVE_INFINITY,
    hard = 32 * 1024 * 1024,
    soft = 8 * 1024 * 1024,
    softTime = 60_000,
    held = Math.floor(getHeapStatistics().heap_size_limit / 8),
    reply = 1024 * 1024 * 1024,
  }: ClientLimits = {}) {
    this.#timeout = timeout;
    this.#hard = hard;
    this.#soft = soft;
    this.#softTime = softTime;
    this.#mostHeld = held;
    this.reply = reply;
  }

  /** Reserves bytes for what is stored for a client; a negative number releases them. @returns Whether they fit. */
  hold(bytes: number): boolean {
    if (bytes > 0 && this.#held + bytes > this.#mostHeld) return false;
    this.#held += bytes;
    return true;
  }

  /** Checks a subscriber after a message was pushed to it. */
  pushed({ peer }: Client): void {
    const { unsent } = peer;
    if (unsent > this.#hard) peer.abort(new SlowConsumerError(this.#hard, unsent));
  }

  /** Checks a client periodically. */
  check(client: Client, now: number): void {
    if (client.subscriptions > 0) this.#checkOutput(client, now);
    else if (this.#timeout !== Number.POSITIVE_INFINITY) this.#checkSilence(client, now);
  }

  #checkOutput(client: Client, now: number): void {
    const { unsent } = client.peer;
    if (unsent <= this.#soft) client.behindSince = Number.POSITIVE_INFINITY;
    else if (client.behindSince > now) client.behindSince = now;
    else if (now - client.behindSince >= this.#softTime) client.peer.abort(new SlowConsumerError(this.#soft, unsent));
  }

  #checkSilence(client: Client, now: number): void {
    // A large value may still be transferred, in or out, long after the last command began.
    if (client.hasMoved()) client.lastActive = now;
    else if (now - client.lastActive >= this.#timeout) client.peer.abort(new DeadlineError('idle', this.#timeout));
  }
}
