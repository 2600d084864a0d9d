/** What a socket asks of the other end. */
export interface End {
  /** Takes as much as there is room for. @returns How much that was, in bytes. */
  take(chunk: Uint8Array): number;
  /** The share of what it holds that is read before it takes more. */
  readonly step?: number;
  /** The socket has sent its FIN. */
  fin(): void;
  /** The socket has sent a RST. */
  lost(): void;
  /** The socket has read so much of what it was sent. */
  read?(bytes: number): void;
}

/** What an end does with a socket. */
export interface Reader {
  /** Bytes come; who sends to one that has closed is reset. */
  arrive(chunk: Uint8Array): void;
  arriveEnd(): void;
  arriveReset(): void;
  /** There is room again for what it has to send. */
  pump(): void;
}

/** Bytes that are under way, or have arrived and wait to be read. */
const WINDOW = 64 * 1024;

/** A wire: two ends, each of which is what one socket sees of the other. */
export function wire(later: (work: () => void) => void): readonly [Half, Half] {
  const one = new Half(later);
  const other = new Half(later);
  one.back = other;
  other.back = one;
  return [one, other];
}

/** One direction. */
class Half implements End {
  /** Who reads what is sent this way. */
  reader: Reader | undefined;
  back: Half | undefined;
  readonly #later: (work: () => void) => void;
  #unread = 0;

  constructor(later: (work: () => void) => void) {
    this.#later = later;
  }

  take(chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, WINDOW - this.#unread);
    if (taken === 0) return 0;
    this.#unread += taken;
    // Not its own: a slice of a Buffer is no copy.
    const copy = Uint8Array.prototype.slice.call(chunk, 0, taken);
    this.#later(() => this.reader?.arrive(copy));
    return taken;
  }

  fin(): void {
    this.#later(() => this.reader?.arriveEnd());
  }

  lost(): void {
    this.reader?.arriveReset();
  }

  read(bytes: number): void {
    const { back } = this;
    // Who sends is the reader of the other direction.
    if (back) this.#later(() => back.#acknowledge(bytes, this));
  }

  #acknowledge(bytes: number, half: Half): void {
    this.#unread -= bytes;
    half.reader?.pump();
  }
}
