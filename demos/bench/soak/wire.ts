import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** The header of a TLS record: type, version, and length of the rest. */
const HEADER = 5;
/** A record with an encrypted alert, as TLS 1.3 writes it: two bytes, their type, and a tag of 16 bytes. */
const ALERT = 2 + 1 + 16;

/** A connected socket beneath a TLS client. It knows which record the server has sent last, and how the input has ended. */
export class Wire extends Duplex {
  /** `reset`, or whether the last record before the FIN was an alert: then it was close_notify, because there was no error. */
  ending: 'open' | 'reset' | 'close_notify, FIN' | 'FIN only' = 'open';
  readonly over: Promise<unknown>;
  readonly #raw: Socket;
  readonly #header: number[] = [];
  /** Bytes of the current record that were not read. */
  #left = 0;
  #length = 0;

  constructor(raw: Socket) {
    super();
    this.#raw = raw;
    this.over = new Promise((resolve) => raw.on('close', resolve));
    raw.on('data', (chunk: Buffer) => {
      this.#inspect(chunk);
      // Not paused, because the client reads nothing after close_notify, and the FIN comes later. So little is in flight here.
      this.push(chunk);
    });
    raw.on('end', () => {
      this.ending = this.#left === 0 && this.#length === ALERT ? 'close_notify, FIN' : 'FIN only';
      this.push(null);
    });
    raw.on('error', (error) => {
      this.ending = 'reset';
      this.destroy(error);
    });
  }

  #inspect(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, chunk.length - at);
        this.#left -= skipped;
        at += skipped;
      } else {
        this.#header.push(chunk[at++] as number);
        if (this.#header.length < HEADER) continue;
        const [, , , high = 0, low = 0] = this.#header.splice(0);
        this.#left = this.#length = high * 256 + low;
      }
    }
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#raw.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#raw.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#raw.destroy();
    done(error);
  }
}
