/** Node decrypts so many bytes at a time: one record of TLS. */
const RECORD = 16 * 1024;
/** As many as one read of libuv can be. */
const MOST = 64 * 1024;
/** Buffers that are used again. Further connections with large reads receive them in records. */
const BUFFERS = 16;

const free: Buffer[] = [];
let made = 0;

/** Node's own: a fake clock might never call back. */
const { setImmediate } = globalThis;

/**
 * Full records of one connection, put together. To pass each one on, and to write what is replied to it, costs more than the copy.
 * They are passed on when 64 KiB or the last part of a message have come, at the latest in the check phase of the event loop.
 */
export class LargeRead {
  readonly #buffer: Buffer;
  #length = 0;

  private constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /**
   * Begins with a chunk.
   *
   * @param later Called in the check phase.
   * @returns `undefined` if it is not a full record, or if too many connections read at once.
   */
  static begin<T>(chunk: Uint8Array, later: (on: T) => void, on: T): LargeRead | undefined {
    if (chunk.length !== RECORD) return undefined;
    const buffer = free.pop() ?? make();
    if (buffer === undefined) return undefined;
    setImmediate(later, on);
    const read = new LargeRead(buffer);
    read.add(chunk);
    return read;
  }

  /** @returns Whether it is to be passed on now. */
  add(chunk: Uint8Array): boolean {
    this.#buffer.set(chunk, this.#length);
    this.#length += chunk.length;
    return chunk.length < RECORD || this.#length > MOST - RECORD;
  }

  /** Borrowed until {@link release}. */
  get bytes(): Uint8Array {
    return this.#length === MOST ? this.#buffer : this.#buffer.subarray(0, this.#length);
  }

  release(): void {
    free.push(this.#buffer);
  }
}

function make(): Buffer | undefined {
  if (made === BUFFERS) return undefined;
  made++;
  return Buffer.allocUnsafeSlow(MOST);
}
