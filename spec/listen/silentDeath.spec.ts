import { Subject } from 'rxjs';
import { afterEach, expect, it } from 'vitest';
import { type Handler, type ServeOptions, serve } from '../../lib/serve.ts';
import { clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';
import { quickest } from '../support/quickest.ts';

const BUSY = 10;
const GONE = 3000;

const servers: Log[] = [];
afterEach(() => {
  for (const log of servers.splice(0)) log.subscription?.unsubscribe();
  closeClients();
});

const echo: Handler = (connection) => connection;

/** 10 are served, and 3000 wait whose clients have left: half of them in good order, half with a reset. */
async function crowded() {
  const shutdown = new Subject<void>();
  const options: ServeOptions = { concurrency: BUSY, waiting: { max: GONE + 100, timeout: 60_000 }, shutdown };
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, echo, options));
  servers.push(log);
  const port = await log.whenListening();
  const busy = clients(BUSY, port);
  for (const one of busy) await one.write('x').whenRead('x');
  // In portions: what is measured is not how many the kernel queues.
  for (let left = GONE; left > 0; left -= 500) {
    const portion = clients(Math.min(left, 500), port);
    await Promise.all(portion.map((one) => one.whenConnected()));
    for (const [index, one] of portion.entries()) one[index % 2 === 0 ? 'end' : 'reset']().socket.destroy();
    await Promise.all(portion.map((one) => one.whenClosed()));
  }
  await log.whenAccepted(BUSY + GONE);
  return { log, port, busy, shutdown };
}

it('serves 20 of 20 fresh clients when one slot is free, though 3000 who left wait before them [E2]', async () => {
  const { log, port, busy } = await crowded();
  busy[0]?.end();
  const fresh = clients(20, port);
  for (const one of fresh) one.write('fresh').end();
  await Promise.all(fresh.map((one) => one.whenClosed()));
  expect(fresh.filter(({ text, fault }) => text === 'fresh' && fault === undefined)).toHaveLength(20);
  expect(log.counters).toMatchObject({ accepted: BUSY + GONE + 20, waiting: 0, active: BUSY - 1 });
  expect(log.refusals.filter((reason) => reason !== 'gone')).toEqual([]);
});

it('drains in under a second, though 3000 who left wait [E2]', async () => {
  const drained = async () => {
    const { log, shutdown } = await crowded();
    const began = performance.now();
    shutdown.next();
    await log.whenCompleted();
    expect(log.report).toMatchObject({ drained: BUSY, aborted: 0, refused: GONE });
    expect(log.of('opened')).toHaveLength(BUSY);
    return performance.now() - began;
  };
  expect(await quickest(1000, drained, 3)).toBeLessThan(1000);
});
