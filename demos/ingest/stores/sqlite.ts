import { open } from 'node:fs/promises';
import Database from 'libsql/promise';
import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';
import type { Store } from './store.ts';

/** How long a statement waits for the lock of another process before it fails, in milliseconds. */
const LOCK_TIMEOUT = 1000;

/** The members of the package that we use. Its own types are `any`. */
interface Sqlite {
  exec(sql: string): Promise<unknown>;
  prepare(sql: string): Promise<Statement>;
  readonly inTransaction: boolean;
  close(): void;
}
interface Statement {
  run(values: readonly (string | number | null)[]): Promise<{ readonly changes: number }>;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS readings (
    device TEXT, seq INTEGER, at INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (device, seq)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS windows (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, start INTEGER NOT NULL, width INTEGER NOT NULL,
    count INTEGER NOT NULL, min REAL, mean REAL, max REAL, late INTEGER NOT NULL
  ) STRICT;
`;

/**
 * A store in one file: a table of readings whose key is device and seq, and a table of windows.
 *
 * SQLite runs in a thread of its own. Otherwise the disk, or the lock of another process, would block the event loop, and the
 * devices would receive no `wait` lines.
 */
export class SqliteStore implements Store {
  readonly name: string;
  readonly #database: Sqlite;
  readonly #insertReading: Statement;
  readonly #insertWindow: Statement;
  /** The end of the previous transaction. They run one at a time, because there is one connection to the file. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Opens the file, or creates it.
   *
   * @returns A promise of the store. It is rejected if the file cannot be opened, or is not a database.
   */
  static async open(file: string): Promise<SqliteStore> {
    // SQLite would create the file, too, but its error is only a number.
    await (await open(file, 'a')).close();
    const database = new Database(file, { timeout: LOCK_TIMEOUT }) as unknown as Sqlite;
    try {
      // Readers do not block the writer, and after a kill the only recovery is a replay of the log.
      await database.exec('PRAGMA journal_mode = WAL');
      // A commit is on the disk before it returns, so that acknowledged readings survive a loss of power as well.
      await database.exec('PRAGMA synchronous = FULL');
      await database.exec(SCHEMA);
      const reading = await database.prepare('INSERT INTO readings VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING');
      const window = await database.prepare('INSERT INTO windows VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)');
      return new SqliteStore(`SQLite, ${file}`, database, reading, window);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  private constructor(name: string, database: Sqlite, insertReading: Statement, insertWindow: Statement) {
    this.name = name;
    this.#database = database;
    this.#insertReading = insertReading;
    this.#insertWindow = insertWindow;
  }

  readings(batch: readonly Reading[]): Promise<readonly boolean[]> {
    return this.#insert(batch, ({ device, seq, at, value }) => this.#insertReading.run([device, seq, at, value]));
  }

  windows(batch: readonly Window[]): Promise<readonly boolean[]> {
    return this.#insert(batch, ({ device, start, width, count, min, mean, max, late }) =>
      this.#insertWindow.run([device, start, width, count, min, mean, max, late]),
    );
  }

  close(): Promise<void> {
    return this.#next(async () => this.#database.close());
  }

  /** Inserts a batch in one transaction, all of it or nothing. The package has a helper for that, but it commits too early. */
  #insert<T>(batch: readonly T[], insert: (row: T) => Promise<{ changes: number }>): Promise<readonly boolean[]> {
    return this.#next(async () => {
      const isNew: boolean[] = [];
      await this.#database.exec('BEGIN IMMEDIATE');
      try {
        for (const row of batch) isNew.push((await insert(row)).changes > 0);
        await this.#database.exec('COMMIT');
      } catch (error) {
        // Some errors, such as a full disk, have rolled it back already.
        if (this.#database.inTransaction) await this.#database.exec('ROLLBACK');
        throw error;
      }
      return isNew;
    });
  }

  /** Runs `work` after the previous work has ended. */
  #next<R>(work: () => Promise<R>): Promise<R> {
    const result = this.#last.then(work);
    // A failure rejects the caller's promise; the next work runs regardless.
    this.#last = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }
}
