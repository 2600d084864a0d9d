/** Who a message is from, and to whom it goes: what the commands said, not its header. */
export interface Envelope {
  /** `''` for a bounce. */
  readonly from: string;
  readonly to: readonly string[];
}

/** A message to be stored. */
export interface Arriving extends Envelope {
  /** Unique among all messages. */
  readonly id: string;
  /** Lines that precede the content: where the message came from. */
  readonly trace: string;
}

/** Where messages go. */
export interface Store {
  /** Begins to store a message. */
  begin(message: Arriving): Promise<Delivery>;
}

/** A message that is being stored. Nobody sees it before `commit`. The methods are called one after the other, but for `abort`. */
export interface Delivery {
  /** Stores a piece of the content. While the promise is not resolved, no further piece is read from the client. */
  write(bytes: Uint8Array): Promise<void>;
  /** Completes the message. When the promise is resolved, the message survives a loss of power, if the store can do that at all. */
  commit(): Promise<void>;
  /** Removes what was stored of it. It may be called during `write`, and is never rejected. */
  abort(): Promise<void>;
}
