/**
 * The thread that writes to SQLite. A commit waits for the disk, and a lock for whoever holds it: here nobody else has
 * to wait along.
 */
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'libsql';
import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';

/** What the thread is asked; it answers each with a {@link Answer}, in order. */
export type Question =
  | { readonly type: 'readings'; readonly batch: readonly Reading[] }
  | { readonly type: 'windows'; readonly batch: readonly Window[] }
  | { readonly type: 'close' };

export type Answer = { readonly result: readonly boolean[] } | { readonly error: string };

/** How long a statement waits for a lock before it fails, in milliseconds. */
const LOCK_TIMEOUT = 1000;

const port = parentPort;
if (port === null) throw new Error('This is a thread, not a program');
port.postMessage(answer(open));

function open(): boolean[] {
  const database = new Database(String(workerData), { timeout: LOCK_TIMEOUT });
  // Readers do not hold the writer up, and a killed program leaves nothing to be mended but a log to be replayed.
  database.exec('PRAGMA journal_mode = WAL');
  // Each commit is on the disk before it returns: a loss of power takes back nothing that was acknowledged.
  database.exec('PRAGMA synchronous = FULL');
  database.exec(`
    CREATE TABLE IF NOT EXISTS readings (
      device TEXT, seq INTEGER, at INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (device, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS windows (
      id INTEGER PRIMARY KEY, device TEXT NOT NULL, start INTEGER NOT NULL, width INTEGER NOT NULL,
      count INTEGER NOT NULL, min REAL, mean REAL, max REAL, late INTEGER NOT NULL
    ) STRICT;
  `);
  const insertReading = database.prepare('INSERT INTO readings VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING');
  const insertWindow = database.prepare('INSERT INTO windows VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)');

  const insertReadings = database.transaction((batch: readonly Reading[]) =>
    batch.map(({ device, seq, at, value }) => insertReading.run([device, seq, at, value]).changes > 0),
  );
  const insertWindows = database.transaction((batch: readonly Window[]) =>
    batch.map(({ device, start, width, count, min, mean, max, late }) => {
      return insertWindow.run([device, start, width, count, min, mean, max, late]).changes > 0;
    }),
  );
  port?.on('message', (question: Question) => {
    port.postMessage(
      answer(() => {
        if (question.type === 'readings') return insertReadings.immediate(question.batch);
        if (question.type === 'windows') return insertWindows.immediate(question.batch);
        database.close();
        port.close();
        return [];
      }),
    );
  });
  return [];
}

function answer(work: () => readonly boolean[]): Answer {
  try {
    return { result: work() };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
