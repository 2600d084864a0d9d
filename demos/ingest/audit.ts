import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import Database from 'libsql';
import { measured } from './device.ts';
import type { Reading } from './reading.ts';

/** The result of an audit. All numbers but the first two must be 0. */
export interface Audit {
  readonly acknowledged: number;
  readonly stored: number;
  /** Readings that were acknowledged, and are not in the store. */
  readonly lost: number;
  /** Readings that are in the store more than once. */
  readonly twice: number;
  /** Readings whose contents in the store differ from those that were sent. */
  readonly changed: number;
}

/** Compares the readings that devices have recorded as acknowledged with the contents of a store. */
export async function audit(acked: AsyncIterable<Reading>, stored: AsyncIterable<Reading>): Promise<Audit> {
  const rows = new Map<string, Reading>();
  let twice = 0;
  let changed = 0;
  let count = 0;
  for await (const reading of stored) {
    const { device, seq, value } = reading;
    const key = `${device} ${seq}`;
    if (rows.has(key)) twice++;
    if (value !== measured(device, seq)) changed++;
    rows.set(key, reading);
    count++;
  }
  let acknowledged = 0;
  let lost = 0;
  for await (const { device, seq, at } of acked) {
    acknowledged++;
    const row = rows.get(`${device} ${seq}`);
    if (row === undefined) lost++;
    else if (row.at !== at) changed++;
  }
  return { acknowledged, stored: count, lost, twice, changed };
}

/** Reads the file that `devices.ts --acked` writes. */
export async function* readAcked(file: string): AsyncGenerator<Reading> {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [device = '', seq, at, value] = line.split(',');
    yield { device, seq: Number(seq), at: Number(at), value: Number(value) };
  }
}

/** Reads all readings of a SQLite store. */
export async function* readSqlite(file: string): AsyncGenerator<Reading> {
  const database = new Database(file);
  try {
    yield* database.prepare('SELECT device, seq, at, value FROM readings').iterate() as IterableIterator<Reading>;
  } finally {
    database.close();
  }
}

/** Reads all readings of a JetStream store. */
export async function* readJetStream(server: string): AsyncGenerator<Reading> {
  const connection = await connect({ servers: server });
  try {
    const manager = await jetstreamManager(connection);
    let left = (await manager.streams.info('READINGS')).state.messages;
    if (left === 0) return;
    const consumer = await jetstream(connection).consumers.get('READINGS');
    const messages = await consumer.consume({ max_messages: 1000 });
    for await (const message of messages) {
      yield message.json<Reading>();
      if (--left === 0) break;
    }
    await messages.close();
  } finally {
    await connection.close();
  }
}
