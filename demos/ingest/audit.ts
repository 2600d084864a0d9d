import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import Database from 'libsql';
import { measured } from './device.ts';
import type { Reading } from './reading.ts';

/** What became of what was acknowledged. All but the first two are to be 0. */
export interface Audit {
  readonly acknowledged: number;
  readonly stored: number;
  /** Acknowledged, and not in the store. */
  readonly lost: number;
  /** In the store more than once. */
  readonly twice: number;
  /** In the store with other contents than those that were sent. */
  readonly changed: number;
}

/** Compares what devices say was acknowledged with what a store has. */
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

/** Reads what `devices.ts --acked` wrote. */
export async function* readAcked(file: string): AsyncGenerator<Reading> {
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [device = '', seq, at, value] = line.split(',');
    yield { device, seq: Number(seq), at: Number(at), value: Number(value) };
  }
}

/** Reads all that is in a SQLite store. */
export async function* readSqlite(file: string): AsyncGenerator<Reading> {
  const database = new Database(file);
  try {
    yield* database.prepare('SELECT device, seq, at, value FROM readings').iterate() as IterableIterator<Reading>;
  } finally {
    database.close();
  }
}

/** Reads all that is in a JetStream store. */
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
