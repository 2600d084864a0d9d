import { Subject, type Subscription } from 'rxjs';
import { type ConverseOptions, converse } from '../../../../demos/redis/converse.ts';
import type { Database } from '../../../../demos/redis/database.ts';
import { type Reply, repliesIn } from './replies.ts';
import { request } from './request.ts';

/** A client of ours without a socket: what it sends is pushed in, what it is sent is gathered. */
export class OurClient {
  readonly #input = new Subject<Uint8Array>();
  readonly #output: Uint8Array[] = [];
  readonly #subscription: Subscription;
  /** How its conversation ended, if it did. */
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

  /** Ends the input, as a peer that closes its half. */
  end(): void {
    this.#input.complete();
  }

  leave(): void {
    this.#subscription.unsubscribe();
  }

  /** What has been sent to it since it last looked, with the turn of the event loop over. */
  async received(): Promise<Buffer> {
    await new Promise(process.nextTick);
    return Buffer.concat(this.#output.splice(0));
  }

  async replies(): Promise<Reply[]> {
    return repliesIn(await this.received());
  }

  /** Asks, and returns the reply as it was sent. */
  async ask(...args: string[]): Promise<string> {
    this.send(request(args));
    return (await this.received()).toString('latin1');
  }
}
