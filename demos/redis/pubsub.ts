import { glob } from './glob.ts';
import { array, type ByteString, bulk, type Reply, resp3 } from './resp/reply.ts';

/** Someone who can be told something. */
export interface Listener {
  readonly form: { readonly version: 2 | 3 };
  push(message: Reply): void;
}

interface PatternRoom {
  readonly matches: (channel: string) => boolean;
  readonly listeners: Set<Listener>;
}

/** Who listens to which channel. Joining and leaving are constant time however many listen; an empty room is removed. */
export class PubSub {
  readonly #channels = new Map<ByteString, Set<Listener>>();
  readonly #patterns = new Map<ByteString, PatternRoom>();

  /** How many channels somebody listens to. */
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
    const room = this.#patterns.get(pattern);
    if (room === undefined) this.#patterns.set(pattern, { matches: glob(pattern), listeners: new Set([listener]) });
    else room.listeners.add(listener);
  }

  unsubscribePattern(pattern: ByteString, listener: Listener): void {
    const room = this.#patterns.get(pattern);
    if (room?.listeners.delete(listener) && room.listeners.size === 0) this.#patterns.delete(pattern);
  }

  /**
   * Tells everybody who listens, and waits for nobody: a message is encoded once for each version of the protocol.
   *
   * @returns How many were told; who listens twice is told twice.
   */
  publish(channel: ByteString, message: ByteString): number {
    let told = tell(this.#channels.get(channel), ['message', channel, message]);
    for (const [pattern, { matches, listeners }] of this.#patterns) {
      if (matches(channel)) told += tell(listeners, ['pmessage', pattern, channel, message]);
    }
    return told;
  }
}

function tell(listeners: Set<Listener> | undefined, parts: readonly ByteString[]): number {
  if (listeners === undefined) return 0;
  const items = parts.map(bulk);
  const [old, recent] = [array(items), resp3.push(items)];
  // Who is cut off because he is too slow leaves the set meanwhile; he was told all the same.
  let told = 0;
  for (const listener of listeners) {
    listener.push(listener.form.version === 3 ? recent : old);
    told++;
  }
  return told;
}
