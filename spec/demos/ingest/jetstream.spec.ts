import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DiscardPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, nanos } from '@nats-io/transport-node';
import { afterEach, describe, expect, it } from 'vitest';
import { readJetStream } from '../../../demos/ingest/audit.ts';
import type { Reading } from '../../../demos/ingest/reading.ts';
import { JetStreamStore } from '../../../demos/ingest/stores/jetstream.ts';
import { authority } from '../../support/certificates.ts';
import { endNats, NatsServer, skipped } from '../../support/natsServer.ts';
import { endAll, folder, Server } from './server.ts';

afterEach(async () => {
  await endNats();
  await endAll();
});

const startNats = () => NatsServer.start(folder());

const reading = (seq: number, more: Partial<Reading> = {}): Reading => ({
  device: 'd1',
  seq,
  at: 5,
  value: 1,
  ...more,
});

async function all(url: string): Promise<Reading[]> {
  const readings: Reading[] = [];
  for await (const one of readJetStream(url)) readings.push(one);
  return readings.sort((a, b) => a.seq - b.seq);
}

describe.skipIf(skipped)('ingest with JetStream', () => {
  it('stores a reading once: its id detects a duplicate for a while, its subject at any time', async () => {
    const { url } = await startNats();
    const store = await JetStreamStore.open(url);
    expect(await store.readings([reading(1), reading(2), reading(1, { value: 9 })])).toEqual([true, true, false]);
    expect(await store.readings([reading(2), reading(3)])).toEqual([false, true]);

    // A message without an id, as one whose id JetStream no longer keeps.
    const connection = await connect({ servers: url });
    await jetstream(connection).publish('readings.d1.4', JSON.stringify(reading(4)));
    expect(await store.readings([reading(4, { value: 9 }), reading(5)])).toEqual([false, true]);
    const { state } = await (await jetstreamManager(connection)).streams.info('READINGS');
    expect(state.messages).toBe(5);
    await connection.close();
    await store.close();
    expect(await all(url)).toEqual([1, 2, 3, 4, 5].map((seq) => reading(seq)));
  });

  it('acknowledges readings that JetStream has stored, and writes windows to a second stream', async () => {
    const { url } = await startNats();
    const server = new Server('--nats', url, '--window', '3600000', '--windows');
    const client = await server.connect();
    const at = Date.now();
    client.send(reading(1, { at }), reading(2, { at, value: 3 }), reading(1, { at }));
    await client.whenReceived(3);
    expect(client.lines).toEqual(['ack 1', 'ack 2', 'ack 1']);
    expect(await all(url)).toEqual([reading(1, { at }), reading(2, { at, value: 3 })]);
    client.socket.end();
    server.signal('SIGTERM');
    expect((await server.done).code).toBe(0);
    expect(server.of('report')).toMatchObject([{ stored: 2, duplicates: 1, windows: 1 }]);

    const connection = await connect({ servers: url });
    const message = await (await jetstreamManager(connection)).streams.getMessage('WINDOWS', { seq: 1 });
    await connection.close();
    expect(message?.subject).toBe('windows.d1');
    expect(message?.json()).toMatchObject({ device: 'd1', count: 2, min: 1, mean: 2, max: 3, late: 0 });
  });

  it('stores readings over TLS', async () => {
    const root = await authority();
    const { cert, key } = await root.issue();
    const files = folder();
    writeFileSync(join(files, 'server.pem'), cert + key);
    writeFileSync(join(files, 'ca.pem'), root.ca);
    const nats = await NatsServer.start(folder(), join(files, 'server.pem'));
    process.env.NODE_EXTRA_CA_CERTS = join(files, 'ca.pem');
    const server = new Server('--nats', nats.url);
    delete process.env.NODE_EXTRA_CA_CERTS;
    const client = await server.connect();
    client.send(reading(1), reading(2));
    await client.whenReceived(2);
    expect(client.lines).toEqual(['ack 1', 'ack 2']);
    client.socket.end();
    server.signal('SIGTERM');
    expect((await server.done).code).toBe(0);
    expect(server.of('report')).toMatchObject([{ stored: 2 }]);
  });

  it('sends `wait` lines while NATS is down, and continues when it is back', async () => {
    const nats = await startNats();
    const server = new Server('--nats', nats.url, '--patience', '100');
    const client = await server.connect();
    client.send(reading(1));
    await client.whenReceived(1);
    await nats.kill();
    client.send(reading(2), reading(3));
    const why = (line: string) => line.startsWith('wait the store cannot be written: ');
    await client.until(({ waits }) => waits.some(why), 'a wait line with the reason');
    expect(client.answers).toEqual(['ack 1']);
    await nats.start();
    await client.until(({ answers }) => answers.length === 3, 'acknowledged', 15_000);
    expect(client.answers).toEqual(['ack 1', 'ack 2', 'ack 3']);
    expect(await all(nats.url)).toEqual([1, 2, 3].map((seq) => reading(seq)));
    client.socket.end();
    server.signal('SIGTERM');
    expect((await server.done).code).toBe(0);
    expect(server.of('report')).toMatchObject([{ stored: 3, unstored: 0 }]);
  }, 40_000);

  it('counts a reading as new even if it took several attempts', async () => {
    const nats = await startNats();
    const server = new Server('--nats', nats.url, '--patience', '100');
    const client = await server.connect();
    client.send(reading(1));
    await client.whenReceived(1);
    // A frozen server receives messages and answers none: each attempt times out, but all of them arrive.
    await nats.freeze();
    client.send(reading(2), reading(3));
    const hasFailed = () => client.waits.some((line) => line.includes('cannot be written'));
    await client.until(hasFailed, 'a failed attempt', 20_000).catch((error) => {
      throw new Error(`${error.message}; it has received ${JSON.stringify(client.lines)}`);
    });
    nats.thaw();
    await client.until(({ answers }) => answers.length === 3, 'acknowledged');
    expect(await all(nats.url)).toEqual([1, 2, 3].map((seq) => reading(seq)));
    client.socket.end();
    server.signal('SIGTERM');
    await server.done;
    expect(server.of('report')).toMatchObject([{ stored: 3, duplicates: 0, failures: expect.any(Number) }]);
  });

  it('accepts existing streams, except one that would keep a reading twice', async () => {
    const { url } = await startNats();
    const connection = await connect({ servers: url });
    const manager = await jetstreamManager(connection);
    const stream = { name: 'READINGS', subjects: ['readings.*.*'], max_age: nanos(3_600_000) };
    await manager.streams.add(stream);
    await expect(JetStreamStore.open(url)).rejects.toThrow('READINGS does not keep the first message');

    await manager.streams.delete('READINGS');
    const good = { max_msgs_per_subject: 1, discard: DiscardPolicy.New, discard_new_per_subject: true };
    await manager.streams.add({ ...stream, ...good });
    const store = await JetStreamStore.open(url);
    expect(await store.readings([reading(1), reading(1)])).toEqual([true, false]);
    expect((await manager.streams.info('READINGS')).config.max_age).toBe(nanos(3_600_000));
    await store.close();
    await connection.close();
  });
});
