import type { BlockFrame } from './frame.ts';
import { CONTENT_FAULTS, notStored, reply, START_MESSAGE } from './replies.ts';
import type { Arriving, Delivery, Store } from './store.ts';

/**
 * One message from DATA to its final reply. What is wrong with it is reported by that reply only, because the client does not
 * listen before it has sent the dot. Until then blocks are dropped.
 */
export class Message {
  readonly arriving: Arriving;
  /** Bytes of the content so far. */
  size = 0;
  readonly #store: Store;
  readonly #failed: (error: unknown) => void;
  #delivery: Delivery | undefined;
  /** The reply that refuses the message. */
  #refusal: string | undefined;
  #blocks = 0;
  #isAbandoned = false;
  /** Resolved when what was stored of a refused message is removed. */
  #removed: Promise<void> | undefined;

  /** @param failed Called with the error of the store, of which the client learns no more than that there is one. */
  constructor(store: Store, arriving: Arriving, failed: (error: unknown) => void) {
    this.#store = store;
    this.arriving = arriving;
    this.#failed = failed;
  }

  /** @returns The reply to DATA. */
  async begin(): Promise<string> {
    try {
      const delivery = await this.#store.begin(this.arriving);
      if (this.#isAbandoned) await delivery.abort();
      else this.#delivery = delivery;
      return START_MESSAGE;
    } catch (error) {
      return this.#notStored(error);
    }
  }

  /** Stores a block. */
  async add(block: BlockFrame): Promise<void> {
    if (block.index !== this.#blocks++) this.#refuse(notStored(undefined));
    if (block.fault !== undefined) this.#refuse(CONTENT_FAULTS[block.fault]);
    this.size += block.bytes.length;
    if (this.#delivery === undefined || block.bytes.length === 0) return;
    try {
      await this.#delivery.write(block.bytes);
    } catch (error) {
      this.#refuse(this.#notStored(error));
    }
  }

  /** Stores the last block, and the whole message. @returns The final reply. */
  async finish(block: BlockFrame): Promise<string> {
    await this.add(block);
    const delivery = this.#delivery;
    if (delivery === undefined) {
      await this.#removed;
      return this.#refusal ?? notStored(undefined);
    }
    // From here on the message is complete: a client that leaves now does not undo it.
    this.#delivery = undefined;
    try {
      await delivery.commit();
    } catch (error) {
      await delivery.abort();
      return this.#notStored(error);
    }
    return reply(250, `2.0.0 OK, accepted as ${this.arriving.id}`);
  }

  /** Nothing more comes of it: the client has left, or the server closes. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#drop();
  }

  /** Once a message is abandoned its file is closed, so a write that fails then is no fault of the store. */
  #notStored(error: unknown): string {
    if (!this.#isAbandoned) this.#failed(error);
    return notStored(error);
  }

  #refuse(text: string): void {
    this.#refusal ??= text;
    this.#drop();
  }

  #drop(): void {
    this.#removed ??= this.#delivery?.abort();
    this.#delivery = undefined;
  }
}
