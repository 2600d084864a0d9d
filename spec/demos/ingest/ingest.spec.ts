import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, describe, expect, it } from 'vitest';
import type { Reading } from '../../../demos/ingest/reading.ts';
import { endAll, folder, Server } from './server.ts';

afterEach(endAll);

const reading = (seq: number, more: Partial<Reading> = {}): Reading => {
  return { device: 'd1', seq, at: Date.now(), value: seq / 3, ...more };
};

/** Opens the database as another process would. */
function openDatabase(file: string): InstanceType<typeof Database> {
  return new Database(file, { timeout: 5000 });
}

function stored(file: string): Reading[] {
  const database = openDatabase(file);
  try {
    const rows = database
      .prepare('SELECT device, seq, at, value FROM readings ORDER BY device, seq')
      .all() as Reading[];
    return rows.map(({ device, seq, at, value }) => ({ device, seq, at, value }));
  } finally {
    database.close();
  }
}

/** Locks the database against writes, until the returned function is called. */
function lock(file: string): () => void {
  const database = openDatabase(file);
  database.exec('BEGIN IMMEDIATE');
  return () => {
    database.exec('ROLLBACK');
    database.close();
  };
}

describe('ingest', () => {
  it('acknowledges a reading only once it is stored', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db);
    const client = await server.connect();
    const sent = Array.from({ length: 200 }, (_, seq) => reading(seq));
    for (const [i, one] of sent.entries()) {
      client.send(one);
      if (i % 40 === 0) await client.whenReceived(i + 1);
      const acknowledged = client.answers.length;
      expect(stored(db).length).toBeGreaterThanOrEqual(acknowledged);
    }
    await client.whenReceived(200);
    expect(client.answers).toEqual(sent.map(({ seq }) => `ack ${seq}`));
    expect(stored(db)).toEqual(sent);
    server.signal('SIGKILL');
    await server.done;
    expect(stored(db)).toEqual(sent);
  });

  it('stores a reading once that is sent several times, and acknowledges it each time', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db);
    const client = await server.connect();
    const first = reading(7);
    const other = await server.connect();
    client.send(first, reading(7, { value: 99 }), first);
    await client.whenReceived(3);
    other.send(first, { ...first, device: 'd2' });
    await other.whenReceived(2);
    expect([...client.lines, ...other.lines]).toEqual(Array(5).fill('ack 7'));
    expect(stored(db)).toEqual([first, { ...first, device: 'd2' }]);
    server.signal('SIGTERM');
    expect((await server.done).code).toBe(0);
    expect(server.of('report')).toMatchObject([{ stored: 2, duplicates: 3 }]);
  });

  it('answers an invalid line with its error, in order, and continues', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db);
    const client = await server.connect();
    const good = reading(1);
    client.send(
      good,
      '{"device":',
      [1],
      { ...good, seq: -1 },
      { ...good, seq: 2, device: 'a.b' },
      { ...good, seq: 3, at: 1.5 },
      '{"device":"d1","seq":4,"at":5,"value":1e999}',
      { ...good, seq: 5, unit: 'K' },
      reading(6),
    );
    await client.whenReceived(9);
    expect(client.lines).toEqual([
      'ack 1',
      'error - the line is not JSON',
      'error - a reading is an object: {"device", "seq", "at", "value"}',
      'error - seq must be a whole number from 0 to 2^53 - 1',
      'error 2 device must be 1 to 64 letters, digits, underscores and hyphens',
      'error 3 at must be whole milliseconds since 1970',
      'error 4 value must be a finite number',
      'error 5 a reading has no field "unit"',
      'ack 6',
    ]);
    expect(stored(db).map(({ seq }) => seq)).toEqual([1, 6]);
  });

  it('answers a line that is too long with an error, in order, and continues', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db, '--max-line', '200');
    const client = await server.connect();
    client.send(reading(1), 'x'.repeat(5000), reading(2));
    await client.whenReceived(3);
    const error = 'error - the line has 5000 bytes, at most 200 allowed';
    expect(client.lines).toEqual(['ack 1', error, 'ack 2']);
    expect(stored(db).map(({ seq }) => seq)).toEqual([1, 2]);
    server.signal('SIGTERM');
    expect((await server.done).code).toBe(0);
    expect(server.of('report')).toMatchObject([{ stored: 2, refused: 1 }]);
  });

  it('pauses devices and sends `wait` lines while the store cannot be written, and loses no reading', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db, '--patience', '100', '--in-flight', '32');
    const client = await server.connect();
    client.send(reading(0));
    await client.whenReceived(1);

    const unlock = lock(db);
    // Far more than the buffers of both kernels hold, sent without waiting for acknowledgements.
    const count = 16_000;
    const lines = Array.from({ length: count }, (_, i) => `${JSON.stringify(reading(i + 1)).padEnd(999)}\n`).join('');
    client.socket.write(lines);
    await client.until(
      ({ waits }) => waits.some((line) => line.includes('locked')),
      'a wait line that names the lock',
      5000,
    );
    expect(client.waits[0]).toBe('wait the store is slow');
    expect(client.answers).toEqual(['ack 0']);
    // TCP backpressure blocks the client: most of what it wrote has not left its process.
    expect(client.socket.writableLength).toBeGreaterThan(0);
    const before = client.socket.bytesWritten - client.socket.writableLength;
    await client.until(({ waits }) => waits.length >= 3, 'a third wait line', 8000);
    expect(client.socket.bytesWritten - client.socket.writableLength).toBe(before);
    expect(client.answers).toEqual(['ack 0']);
    expect(server.of('trouble').length).toBeGreaterThan(0);

    unlock();
    await client.until(({ answers }) => answers.length === count + 1, 'all acknowledged', 40_000);
    expect(client.answers.every((line, seq) => line === `ack ${seq}`)).toBe(true);
    expect(stored(db)).toHaveLength(count + 1);
    expect(server.of('recovered').length).toBeGreaterThan(0);
  }, 60_000);

  it('stores and acknowledges the readings in progress when it drains', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db, '--patience', '100');
    const client = await server.connect();
    client.send(reading(0));
    await client.whenReceived(1);
    const unlock = lock(db);
    client.send(reading(1), reading(2));
    await client.until(({ waits }) => waits.length > 0, 'a wait line');
    server.signal('SIGTERM');
    await server.until((one) => one.of('draining').length > 0, 'draining');
    unlock();
    await client.until(({ ended }) => ended, 'the end');
    client.socket.end();
    expect(client.answers).toEqual(['ack 0', 'ack 1', 'ack 2']);
    expect((await server.done).code).toBe(0);
    expect(server.of('report')).toMatchObject([{ stored: 3, unstored: 0 }]);
    expect(stored(db)).toHaveLength(3);
  });

  it('ends after its grace if the store cannot be written, and reports the unstored, unacknowledged readings', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db, '--grace', '300');
    const client = await server.connect();
    client.send(reading(0));
    await client.whenReceived(1);
    const unlock = lock(db);
    client.send(reading(1), reading(2));
    // Wait until the readings are accepted, because only those are counted as unstored.
    await client.until(({ waits }) => waits.length > 0, 'a wait line');
    server.signal('SIGTERM');
    const { code } = await server.done;
    unlock();
    expect(code).toBe(0);
    expect(client.answers).toEqual(['ack 0']);
    expect(server.of('report')).toMatchObject([{ stored: 1, unstored: 2 }]);
    expect(stored(db)).toHaveLength(1);
  });

  it('writes windows over the stored readings to its output and to a second table', async () => {
    const db = join(folder(), 'readings.db');
    const server = new Server('--db', db, '--windows', '--window', '3600000', '--lateness', '3600000');
    const client = await server.connect();
    const at = Date.now();
    for (const value of [4, -2, 10]) client.send(reading(value + 2, { value, at }));
    client.send(reading(6, { value: 4, at }), reading(50, { device: 'd2', value: 1, at: 0 }));
    await client.whenReceived(5);
    server.signal('SIGTERM');
    client.socket.end();
    await server.done;
    const windows = server.of('window');
    expect(windows).toHaveLength(2);
    expect(windows).toContainEqual(
      expect.objectContaining({ device: 'd1', width: 3_600_000, count: 3, min: -2, mean: 4, max: 10, late: 0 }),
    );
    expect(windows).toContainEqual(
      expect.objectContaining({ device: 'd2', count: 0, min: null, mean: null, max: null, late: 1 }),
    );
    const database = openDatabase(db);
    const rows = database.prepare('SELECT device, start, width, count, min, mean, max, late FROM windows').all();
    database.close();
    expect(rows).toMatchObject(windows.map(({ type: _, ...window }) => window));
  });

  it.each([
    ['a file that is not a database', ['--db', import.meta.filename], /cannot open the store .*not a database/],
    [
      'a folder that does not exist',
      ['--db', '/no/such/readings.db'],
      /readings\.db: there is no such file or folder \(/,
    ],
    ['a NATS server that cannot be reached', ['--nats', 'nats://127.0.0.1:1'], /cannot open the store nats:/],
    ['a batch of none', ['--batch', '0'], /--batch must be a whole number/],
  ])('rejects %s with one sentence', async (_, args, message) => {
    const { code, stderr } = await new Server(...args).done;
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
