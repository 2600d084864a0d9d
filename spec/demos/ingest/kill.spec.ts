import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, describe, expect, it } from 'vitest';
import { audit } from '../../../demos/ingest/audit.ts';
import { measured } from '../../../demos/ingest/device.ts';
import type { KillReport } from '../../../demos/ingest/kill.ts';
import type { Reading } from '../../../demos/ingest/reading.ts';
import { endNats, NatsServer, skipped } from '../../support/natsServer.ts';
import { spawnDemo } from '../../support/spawnDemo.ts';
import { endAll, folder } from './server.ts';

afterEach(async () => {
  await endNats();
  await endAll();
});

/** Five kills under 500 devices. */
async function kill(...args: string[]): Promise<KillReport> {
  const demo = spawnDemo('ingest/kill', [
    ...['--kills', '5', '--devices', '500', '--every', '500', '--shortest', '100', '--longest', '600', '--json'],
    ...args,
  ]);
  const { code, stdout, stderr } = await demo.done;
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

/** Checks the conditions of the test: readings were in flight at the kills, and all devices have reconnected. */
function expectLoad({ devices, acknowledged, kills }: KillReport): void {
  expect(kills).toBe(5);
  expect(devices.resent).toBeGreaterThan(0);
  expect(devices.connects).toBeGreaterThan(1000);
  expect(devices).toMatchObject({ unacknowledged: 0, unexpected: 0, acknowledged });
  expect(acknowledged).toBeGreaterThan(1000);
}

describe('ingest, killed again and again under 500 devices', () => {
  it('keeps each acknowledged reading exactly once in SQLite', async () => {
    const kept = folder();
    const report = await kill('--keep', kept);
    expectLoad(report);
    expect(report).toMatchObject({ lost: 0, twice: 0, changed: 0 });

    // Checked again without the script's own audit.
    const database = new Database(join(kept, 'readings.db'));
    const rows = database.prepare('SELECT device, seq, at, value FROM readings').raw().all() as unknown[][];
    database.close();
    const stored = new Set(rows.map((row) => row.join(',')));
    const acked = readFileSync(join(kept, 'acked.csv'), 'utf8').trim().split('\n');
    expect(rows).toHaveLength(stored.size);
    expect(acked).toHaveLength(report.acknowledged);
    expect(acked.filter((line) => !stored.has(line))).toEqual([]);
  }, 90_000);

  it.skipIf(skipped)(
    'keeps each acknowledged reading exactly once in JetStream',
    async () => {
      const { url } = await NatsServer.start(folder());
      const report = await kill('--nats', url);
      expectLoad(report);
      expect(report).toMatchObject({ lost: 0, twice: 0, changed: 0 });
    },
    90_000,
  );
});

describe('the audit after the kills', () => {
  it('finds readings that are lost, stored twice, or changed', async () => {
    const one = (device: string, seq: number, at = 1): Reading => ({ device, seq, at, value: measured(device, seq) });
    async function* of(...readings: Reading[]): AsyncGenerator<Reading> {
      yield* readings;
    }
    const stored = of(one('a', 1), one('a', 2), one('a', 2), { ...one('b', 1), value: 0 }, one('b', 2, 7), one('c', 1));
    expect(await audit(of(one('a', 1), one('a', 2), one('b', 1), one('b', 2), one('b', 3)), stored)).toEqual({
      acknowledged: 5,
      stored: 6,
      lost: 1,
      twice: 1,
      changed: 2,
    });
  });
});
