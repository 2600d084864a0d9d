/** The sender and the recipients of a message: those of the commands, not those of its header. */
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

/**
 * A message that is being stored. Before `commit` no reader sees it. The methods are called one after the other; only `abort` may
 * be called at any time.
 */
export interface Delivery {
  /** Stores a piece of the content. While the promise is not resolved, no further piece is read from the client. */
  write(bytes: Uint8Array): Promise<void>;
  /** Completes the message. When the promise is resolved, the message survives a loss of power, if the store can do that at all. */
  commit(): Promise<void>;
  /** Removes what was stored of it. The promise is never rejected. */
  abort(): Promise<void>;
}
