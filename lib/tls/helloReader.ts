/** Bytes of the first message that are read at most. Those of today have some 500 to 2000; OpenSSL takes 128 KiB at most. */
const MOST = 64 * 1024;

/** The type of a record with a handshake message, and the length of a record's header: type, version and length of the rest. */
const HANDSHAKE = 22;
const HEADER = 5;
/** The type of a ClientHello, and the length of its header: type and length of the rest. */
const CLIENT_HELLO = 1;
const MESSAGE_HEADER = 4;

/**
 * Finds the end of a ClientHello, the first message of a TLS handshake, in bytes that come in any pieces.
 *
 * A handshake costs CPU time when the hello is complete, and hardly any before. So connections wait for their turn with the
 * hello, and a peer that sends nothing, or half a hello, costs little. Formats: RFC 8446, sections 4 and 5.1.
 */
export class HelloReader {
  #read = 0;
  /** Bytes of the header of the current record that were read, and of its content that were not. */
  #header = 0;
  #left = 0;
  /** Bytes of the message that were read, and its length once that is known. */
  #message = 0;
  #length = 0;

  /**
   * Reads further bytes.
   *
   * @returns Whether the handshake can begin: the hello is complete, or it is none, which OpenSSL reports to the peer.
   */
  take(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; at++) {
      if (this.#isComplete(bytes[at] as number)) return true;
      at += this.#skip(bytes.length - at - 1);
    }
    return false;
  }

  /** Skips bytes of the message, which are only counted, but for the last one of the record, of the message and of all. */
  #skip(available: number): number {
    if (this.#header < HEADER || this.#message < MESSAGE_HEADER) return 0;
    const ofMessage = MESSAGE_HEADER + this.#length - this.#message;
    const skipped = Math.max(0, Math.min(available, this.#left - 1, ofMessage - 1, MOST - this.#read - 1));
    this.#read += skipped;
    this.#left -= skipped;
    this.#message += skipped;
    return skipped;
  }

  #isComplete(byte: number): boolean {
    if (++this.#read >= MOST) return true;
    if (this.#header < HEADER) {
      if (this.#header === 0 && byte !== HANDSHAKE) return true;
      if (this.#header >= HEADER - 2) this.#left = this.#left * 256 + byte;
      this.#header++;
      // An empty record, or one that is too long for any.
      return this.#header === HEADER && (this.#left === 0 || this.#left > 16 * 1024);
    }
    if (this.#message === 0 && byte !== CLIENT_HELLO) return true;
    if (this.#message > 0 && this.#message < MESSAGE_HEADER) this.#length = this.#length * 256 + byte;
    this.#message++;
    if (--this.#left === 0) this.#header = 0;
    return this.#message >= MESSAGE_HEADER && this.#message >= MESSAGE_HEADER + this.#length;
  }
}
