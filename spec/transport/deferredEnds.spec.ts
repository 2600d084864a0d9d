import { Subject } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { serve } from '../../lib/serve.ts';
import { defersEnd } from '../../lib/transport/deferredEnds.ts';
import { clients, closeClients } from '../support/client.ts';
import { iteration } from '../support/clock.ts';
import { Log } from '../support/log.ts';

/** Blocks the event loop for some milliseconds. */
function work(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

describe('defersEnd', () => {
  it('defers ends, in order and each once, to later iterations when the time slice of this one is spent', async () => {
    await iteration();
    const notified: number[] = [];
    const ended = (id: number) => ({
      notifyEnd() {
        notified.push(id);
        work(0.1);
      },
    });
    defersEnd(ended(-1));
    work(3);
    const deferred = Array.from({ length: 100 }, (_, id) => defersEnd(ended(id)));
    expect(deferred).toEqual(Array(100).fill(true));
    expect(notified).toEqual([]);
    let iterations = 0;
    for (; notified.at(-1) !== 100; iterations++) {
      await iteration();
      // It is behind those that wait, although the time slice of this iteration is not spent.
      if (iterations === 0) expect(defersEnd(ended(100))).toBe(true);
    }
    expect(notified.filter((id) => id >= 0)).toEqual(Array.from({ length: 101 }, (_, id) => id));
    expect(iterations).toBeGreaterThan(1);
  });
});

describe('300 peers that end their connections at the same moment', () => {
  afterEach(closeClients);

  it.each<[string, 'end' | 'reset', string]>([
    ['with a FIN: each receives its reply first', 'end', 'ended'],
    ['with a RST: each connection is closed once', 'reset', 'reset'],
  ])('%s', async (_what, how, reason) => {
    const shutdown = new Subject<void>();
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { shutdown }));
    const port = await log.whenListening();
    const all = clients(300, port);
    for (const one of all) one.write('hello');
    await Promise.all(all.map((one) => one.whenRead('hello')));
    for (const one of all) {
      if (how === 'end') one.write(' and goodbye');
      one[how]();
    }
    work(20);
    await log.whenEmitted('closed', 300);
    await Promise.all(all.map((one) => one.whenClosed()));
    expect(log.closes).toEqual(Array(300).fill(reason));
    if (how === 'end') expect(all.map(({ text }) => text)).toEqual(Array(300).fill('hello and goodbye'));
    expect(log.counters).toEqual({ accepted: 300, waiting: 0, active: 0, closed: 300, refused: 0 });
    shutdown.next();
    await log.whenCompleted();
  });
});
