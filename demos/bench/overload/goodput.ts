import { setTimeout as pause } from 'node:timers/promises';
import { addresses, Clients } from './clients.ts';
import { atLeast, percentiles, type Row, told } from './row.ts';
import { Server } from './server.ts';

/** Milliseconds of asynchronous work for each client: it, and not the processor, limits the capacity. */
const WORK = 50;
const CONCURRENCY = 20;
const CAPACITY = (1000 * CONCURRENCY) / WORK;
const OVERLOAD = 4;
/** Milliseconds after which a client gives up. */
const PATIENCE = 1000;

/**
 * Four times as many clients arrive as can be served. Each sends a line, and gives up after a second without a reply: so goodput is
 * the number of replies that clients received in a second.
 *
 * The peak is that of twice as many clients as are served at a time, which never give up, on the same server before.
 */
export const goodput: Row = {
  name: 'overload',
  without: "waiting: { order: 'fifo' }",
  async measure({ quick, node }, isControl) {
    const options = { concurrency: CONCURRENCY, waiting: { order: isControl ? 'fifo' : 'adaptive' } };
    const server = await Server.start({ options, work: WORK }, { node: node.path });
    const from = addresses('127.0.2', 1, 100);
    const calm = await Clients.start(server.port, { manner: 'repeat', count: 2 * CONCURRENCY, from });
    const many = await Clients.start(server.port, {
      manner: 'arrive',
      perSecond: OVERLOAD * CAPACITY,
      patience: PATIENCE,
      from,
    });
    await calm.begin();
    const peak = await rate(calm, quick ? 1000 : 10_000);
    await calm.stop();
    await pause(200);
    await many.begin();
    const all = await rate(many, quick ? 3000 : 60_000);
    const last = await rate(many, 1000);
    const { refusals } = await server.ask();
    await Promise.all([many.stop(), server.stop()]);
    const { p50, p99 } = percentiles(all.times);
    return [
      atLeast('goodput under overload, of the peak', (100 * all.served) / peak.served, 90, '%'),
      told(`peak (${CONCURRENCY} at a time, ${WORK} ms each: at most ${CAPACITY} / s)`, peak.served, '/ s'),
      told('goodput', all.served, '/ s'),
      told('goodput in the second after that', last.served, '/ s'),
      told('arrivals', all.begun, '/ s'),
      told('clients that gave up', all.gaveUp, '/ s'),
      told('from the SYN to the reply: median', p50, 'ms'),
      told('from the SYN to the reply: p99', p99, 'ms'),
      told('stalls of the clients themselves, p99', all.delay.p99, 'ms'),
      told('refused by reason', JSON.stringify(refusals)),
    ];
  },
};

/** What the clients do in a second. */
async function rate(clients: Clients, ms: number) {
  const before = await clients.report();
  const begun = performance.now();
  await pause(ms);
  const after = await clients.report();
  const seconds = (performance.now() - begun) / 1000;
  const per = (what: 'begun' | 'served' | 'gaveUp') => (after[what] - before[what]) / seconds;
  const { times, delay } = after;
  return { begun: per('begun'), served: per('served'), gaveUp: per('gaveUp'), times, delay };
}
