import { Subject } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { serve } from '../../lib/serve.ts';
import { departsLater } from '../../lib/transport/departures.ts';
import { clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';

const iteration = () => new Promise((resolve) => setImmediate(resolve));

/** Works for some milliseconds. */
function work(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

describe('departures', () => {
  it('in an iteration that has lasted long wait for later ones, in order, each once', async () => {
    await iteration();
    const told: number[] = [];
    const departing = (id: number) => ({
      depart() {
        told.push(id);
        work(0.1);
      },
    });
    departsLater(departing(-1));
    work(3);
    const later = Array.from({ length: 100 }, (_, id) => departsLater(departing(id)));
    expect(later).toEqual(Array(100).fill(true));
    expect(told).toEqual([]);
    let iterations = 0;
    for (; told.at(-1) !== 100; iterations++) {
      await iteration();
      // One that comes while others wait is behind them, though this iteration has just begun.
      if (iterations === 0) expect(departsLater(departing(100))).toBe(true);
    }
    expect(told.filter((id) => id >= 0)).toEqual(Array.from({ length: 101 }, (_, id) => id));
    expect(iterations).toBeGreaterThan(1);
  });
});

describe('peers that leave in the same moment', () => {
  afterEach(closeClients);

  it.each<[string, 'end' | 'reset', string]>([
    ['with their FIN, each have their reply first', 'end', 'ended'],
    ['with a RST, each are closed once', 'reset', 'reset'],
  ])('%s', async (_what, farewell, reason) => {
    const shutdown = new Subject<void>();
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { shutdown }));
    const port = await log.whenListening();
    const all = clients(300, port);
    for (const one of all) one.write('hello');
    await Promise.all(all.map((one) => one.whenRead('hello')));
    for (const one of all) {
      if (farewell === 'end') one.write(' and goodbye');
      one[farewell]();
    }
    work(20);
    await log.whenSaid('closed', 300);
    await Promise.all(all.map((one) => one.whenClosed()));
    expect(log.closes).toEqual(Array(300).fill(reason));
    if (farewell === 'end') expect(all.map(({ text }) => text)).toEqual(Array(300).fill('hello and goodbye'));
    expect(log.counters).toEqual({ accepted: 300, waiting: 0, active: 0, closed: 300, refused: 0 });
    shutdown.next();
    await log.whenCompleted();
  });
});
