import { getHeapStatistics } from 'node:v8';
import { DeadlineError, SlowConsumerError } from '../../lib/index.ts';
import type { Client } from './client.ts';

/** What a client may cost, with the defaults of Redis. */
export interface ClientLimits {
  /** Silence after which a client is cut off, in milliseconds; who listens to channels may be silent. @default Infinity */
  readonly timeout?: number;
  /** Unsent bytes past which a subscriber is cut off at once. @default 33554432 */
  readonly hard?: number;
  /** Unsent bytes that a subscriber may not have for longer than {@link softTime}. @default 8388608 */
  readonly soft?: number;
  /** For how long, in milliseconds. @default 60000 */
  readonly softTime?: number;
  /**
   * Bytes that may be kept for all clients together beside the keys: what they queue, watch and subscribe to, and their names.
   * @default an eighth of what V8's heap may be
   */
  readonly held?: number;
  /** Bytes of one reply. What only reads is refused beyond that, and a transaction carries no more of its commands out. @default 1073741824 */
  readonly reply?: number;
}

/**
 * Cuts clients off as Redis does.
 *
 * Who asks cannot have much unsent, as his requests wait until the replies have left. A subscriber is sent what others
 * say, at their pace. Nobody waits for him: when too much has piled up for him he goes, and what piled up with him.
 */
export class Limits {
  readonly #timeout: number;
  readonly #hard: number;
  readonly #soft: number;
  readonly #softTime: number;
  readonly #mostHeld: number;
  #held = 0;
  /** Bytes of one reply. */
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

  /** More bytes are kept for a client, or fewer when negative. @returns Whether there is room for them. */
  hold(bytes: number): boolean {
    if (bytes > 0 && this.#held + bytes > this.#mostHeld) return false;
    this.#held += bytes;
    return true;
  }

  /** A subscriber has been sent something. */
  told({ peer }: Client): void {
    const { unsent } = peer;
    if (unsent > this.#hard) peer.abort(new SlowConsumerError(this.#hard, unsent));
  }

  /** Looks at a client every now and then. */
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
    // A large value may be on its way, in or out, long after the last command has begun.
    if (client.hasMoved()) client.lastActive = now;
    else if (now - client.lastActive >= this.#timeout) client.peer.abort(new DeadlineError('idle', this.#timeout));
  }
}
