import { Worker } from 'node:worker_threads';
import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';
import type { Answer, Question } from './sqliteThread.ts';
import type { Store } from './store.ts';

/** Somebody who waits for an answer of the thread. */
interface Waiting {
  resolve(result: readonly boolean[]): void;
  reject(error: Error): void;
}

/** A store in one file: a table of readings whose key is device and seq, and a table of windows. */
export class SqliteStore implements Store {
  readonly name: string;
  readonly #thread: Worker;
  /** Who waits for an answer, in the order of the questions. */
  readonly #waiting: Waiting[] = [];
  #opened = false;

  /**
   * Opens the file, or makes it.
   *
   * @returns A promise of the store. It rejects if SQLite cannot open the file.
   */
  static async open(file: string): Promise<SqliteStore> {
    const store = new SqliteStore(file);
    await store.#answer();
    store.#opened = true;
    return store;
  }

  private constructor(file: string) {
    this.name = `SQLite, ${file}`;
    // The thread is TypeScript as well, whatever runs this file.
    this.#thread = new Worker(new URL('./sqliteThread.ts', import.meta.url), {
      workerData: file,
      execArgv: ['--import', 'tsx'],
    });
    this.#thread.on('message', (answer: Answer) => {
      const waiting = this.#waiting.shift();
      if ('error' in answer) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer.result);
    });
    // It is there or it is not, and does not heal: an open store without its thread ends the program, as a fault of ours.
    this.#thread.on('error', (error) => {
      if (this.#opened) throw error;
      this.#waiting.shift()?.reject(error as Error);
    });
  }

  readings(batch: readonly Reading[]): Promise<readonly boolean[]> {
    return this.#ask({ type: 'readings', batch });
  }

  windows(batch: readonly Window[]): Promise<readonly boolean[]> {
    return this.#ask({ type: 'windows', batch });
  }

  async close(): Promise<void> {
    await this.#ask({ type: 'close' });
  }

  #ask(question: Question): Promise<readonly boolean[]> {
    this.#thread.postMessage(question);
    return this.#answer();
  }

  #answer(): Promise<readonly boolean[]> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}
