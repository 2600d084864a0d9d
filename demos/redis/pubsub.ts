import { glob } from './glob.ts';
import { array, type ByteString, bulk, type Reply, resp3 } from './resp/reply.ts';

/** A client that can be sent messages. */
export interface Listener {
  readonly form: { readonly version: 2 | 3 };
  push(message: Reply): void;
}

interface PatternListeners {
  readonly matches: (channel: string) => boolean;
  readonly listeners: Set<Listener>;
}

/**
 * The listeners of each channel. Subscribing and unsubscribing take constant time however many listeners there are. A channel or
 * pattern without listeners is removed.
 */
export class PubSub {
  readonly #channels = new Map<ByteString, Set<Listener>>();
  readonly #patterns = new Map<ByteString, PatternListeners>();

  /** How many channels have listeners. */
  get channels(): number {
    return this.#channels.size;
  }

  get patterns(): number {
    return this.#patterns.size;
  }

  subscribe(channel: ByteString, listener: Listener): void {
    const listeners = this.#channels.get(channel);
    if (listeners === undefined) this.#channels.set(channel, new Set([listener]));
    else listeners.add(listener);
  }

  unsubscribe(channel: ByteString, listener: Listener): void {
    const listeners = this.#channels.get(channel);
    if (listeners?.delete(listener) && listeners.size === 0) this.#channels.delete(channel);
  }

  subscribePattern(pattern: ByteString, listener: Listener): void {
    const known = this.#patterns.get(pattern);
    if (known === undefined) this.#patterns.set(pattern, { matches: glob(pattern), listeners: new Set([listener]) });
    else known.listeners.add(listener);
  }

  unsubscribePattern(pattern: ByteString, listener: Listener): void {
    const known = this.#patterns.get(pattern);
    if (known?.listeners.delete(listener) && known.listeners.size === 0) this.#patterns.delete(pattern);
  }

  /**
   * Sends a message to all listeners of a channel, and waits for none of them. The message is encoded once for each version of
   * the protocol.
   *
   * @returns How many messages were sent. A listener that has subscribed twice gets two.
   */
  publish(channel: ByteString, message: ByteString): number {
    let sent = push(this.#channels.get(channel), ['message', channel, message]);
    for (const [pattern, { matches, listeners }] of this.#patterns) {
      if (matches(channel)) sent += push(listeners, ['pmessage', pattern, channel, message]);
    }
    return sent;
  }
}

/** @returns How many messages were sent. */
function push(listeners: Set<Listener> | undefined, parts: readonly ByteString[]): number {
  if (listeners === undefined) return 0;
  const items = parts.map(bulk);
  const [old, recent] = [array(items), resp3.push(items)];
  // A listener that is disconnected because it is too slow leaves the set during this loop. It was sent the message and counts.
  let sent = 0;
  for (const listener of listeners) {
    listener.push(listener.form.version === 3 ? recent : old);
    sent++;
  }
  return sent;
}
