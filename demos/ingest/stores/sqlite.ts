import { open } from 'node:fs/promises';
import Database from 'libsql/promise';
import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';
import type { Store } from './store.ts';

/** How long a statement waits for somebody else's lock before it fails, in milliseconds. */
const LOCK_TIMEOUT = 1000;

/** What we use of the package, whose own types leave everything open. */
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
 * SQLite works in a thread of its own, so that neither the disk nor somebody else's lock keeps the event loop from telling
 * the devices that they have to wait.
 */
export class SqliteStore implements Store {
  readonly name: string;
  readonly #database: Sqlite;
  readonly #insertReading: Statement;
  readonly #insertWindow: Statement;
  /** The end of the transaction before: there is one connection to the file, and it can be in one only. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Opens the file, or makes it.
   *
   * @returns A promise of the store. It rejects if the file cannot be opened, or if it is something else.
   */
  static async open(file: string): Promise<SqliteStore> {
    // SQLite would make it as well, but says why it cannot with a number.
    await (await open(file, 'a')).close();
    const database = new Database(file, { timeout: LOCK_TIMEOUT }) as unknown as Sqlite;
    try {
      // Readers do not hold the writer up, and of a killed program there is but a log to be replayed.
      await database.exec('PRAGMA journal_mode = WAL');
      // A commit is on the disk before it returns: a loss of power takes back nothing that was acknowledged, either.
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
    return this.#inTurn(async () => this.#database.close());
  }

  /** All of a batch or nothing, in one transaction. The package has a helper for that, but it commits too early. */
  #insert<T>(batch: readonly T[], insert: (row: T) => Promise<{ changes: number }>): Promise<readonly boolean[]> {
    return this.#inTurn(async () => {
      const isNew: boolean[] = [];
      await this.#database.exec('BEGIN IMMEDIATE');
      try {
        for (const row of batch) isNew.push((await insert(row)).changes > 0);
        await this.#database.exec('COMMIT');
      } catch (error) {
        // A full disk, for one, has rolled it back already.
        if (this.#database.inTransaction) await this.#database.exec('ROLLBACK');
        throw error;
      }
      return isNew;
    });
  }

  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const turn = this.#last.then(work);
    // Whoever asked hears of a failure; the next one does not care.
    this.#last = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn;
  }
}
