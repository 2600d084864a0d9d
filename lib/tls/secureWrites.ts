import { isData } from '../options.ts';
import { gather, lengthOf } from '../transport/gather.ts';
import type { Written } from '../transport/handle.ts';
import { type SecureHandle, type SecureOwner, writeSecured } from '../transport/nodeTlsInternals.ts';

/** A write of nothing. */
const NOTHING = new Uint8Array(0);

/**
 * The writes of one TLS connection. Node completes each one in a later phase of the event loop, although the network may have
 * taken it, and a second one before that would abort the process. So what is written meanwhile waits here.
 */
export class SecureWrites {
  /** Node has not completed the last write. */
  isBusy = false;
  /** What waits for that, and its length in bytes. */
  #next: (string | Uint8Array)[] = [];
  #nextLength = 0;
  /** Bytes of the write that the network has not taken at once; 0 if it has. */
  #inFlight = 0;
  /** As how many encrypted bytes they are sent, and how many had been passed to the handle beneath before them. */
  #encrypted = 0;
  #passedBefore = 0;

  /** Bytes that wait for the end of the last write. */
  get waiting(): number {
    return this.#nextLength;
  }

  /** What the network has not taken: the share of the write in flight, by its encrypted bytes, and what waits for its end. */
  queued({ raw }: SecureHandle): number {
    if (this.#inFlight === 0) return this.#nextLength;
    const sent = raw.bytesWritten - raw.writeQueueSize - this.#passedBefore;
    const left = 1 - Math.min(1, Math.max(0, sent / this.#encrypted));
    return Math.ceil(this.#inFlight * left) + this.#nextLength;
  }

  /**
   * Writes, now or when Node has completed the last write.
   *
   * @returns `now` if the network took everything, `later` if not, or the number of an error.
   */
  write(handle: SecureHandle, data: Written, owner: SecureOwner): 'now' | 'later' | number {
    return this.isBusy ? this.#queue(data) : this.#send(handle, data, owner);
  }

  #queue(data: Written): 'now' | 'later' {
    const length = lengthOf(data);
    if (length > 0) {
      this.#next.push(...(isData(data) ? [data] : data));
      this.#nextLength += length;
    }
    return this.#inFlight + this.#nextLength === 0 ? 'now' : 'later';
  }

  #send(handle: SecureHandle, data: Written, owner: SecureOwner): 'now' | 'later' | number {
    const pieces = isData(data) ? data : (gather(data) ?? data);
    // Node would read within a write of nothing.
    if (pieces.length === 0) return 'now';
    const { tls, raw } = handle;
    const passedBefore = raw.bytesWritten;
    const writtenBefore = tls.bytesWritten;
    const status = writeSecured(handle, pieces, owner);
    if (status < 0) return status;
    this.isBusy = true;
    const written = tls.bytesWritten - writtenBefore;
    const encrypted = tls.writeQueueSize;
    // Within a renegotiation, nothing is encrypted yet. Otherwise each byte is, and some more are added.
    if (encrypted > written && raw.bytesWritten - passedBefore >= encrypted && raw.writeQueueSize === 0) return 'now';
    this.#inFlight = written;
    this.#encrypted = Math.max(encrypted, written);
    this.#passedBefore = passedBefore;
    return 'later';
  }

  /** Completes a write when Node has passed on what it has encrypted besides, such as tickets. @returns 0, or the number of an error. */
  flush(handle: SecureHandle, owner: SecureOwner): number {
    const status = writeSecured(handle, NOTHING, owner);
    this.isBusy = status === 0;
    return status;
  }

  /** Node has completed the last write. What waits for that is written. @returns The outcome, as of {@link write}. */
  completed(handle: SecureHandle, owner: SecureOwner): 'now' | 'later' | number {
    this.isBusy = false;
    this.#inFlight = 0;
    if (this.#nextLength === 0) return 'now';
    const pieces = this.#next;
    this.#next = [];
    this.#nextLength = 0;
    return this.#send(handle, pieces.length === 1 ? (pieces[0] as string | Uint8Array) : pieces, owner);
  }
}
