import { Subject, type Subscription } from 'rxjs';
import { type ConverseOptions, converse } from '../../../../demos/redis/converse.ts';
import type { Database } from '../../../../demos/redis/database.ts';
import { type Reply, repliesIn } from './replies.ts';
import { request } from './request.ts';

/** A client of this server without a socket: it pushes bytes in, and gathers the bytes that it is sent. */
export class OurClient {
  readonly #input = new Subject<Uint8Array>();
  readonly #output: Uint8Array[] = [];
  readonly #subscription: Subscription;
  /** How the session ended, if it has ended. */
  ended: 'completed' | Error | undefined;

  constructor(db: Database, options: ConverseOptions = {}) {
    this.#subscription = converse(db, this.#input, options).subscribe({
      next: (bytes) => this.#output.push(bytes),
      complete: () => {
        this.ended = 'completed';
      },
      error: (error) => {
        this.ended = error;
      },
    });
  }

  send(bytes: Uint8Array | string): void {
    this.#input.next(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Ends the input, as a FIN of the peer does. */
  end(): void {
    this.#input.complete();
  }

  leave(): void {
    this.#subscription.unsubscribe();
  }

  /** The bytes that it was sent since the last call, after the running callback has ended. */
  async received(): Promise<Buffer> {
    await new Promise(process.nextTick);
    return Buffer.concat(this.#output.splice(0));
  }

  async replies(): Promise<Reply[]> {
    return repliesIn(await this.received());
  }

  /** Sends a command, and returns the encoded reply. */
  async ask(...args: string[]): Promise<string> {
    this.send(request(args));
    return (await this.received()).toString('latin1');
  }
}
