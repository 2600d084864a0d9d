import { setTimeout as pause } from 'node:timers/promises';
import { addresses, Clients } from './clients.ts';
import { atLeast, atMost, exactly, type Row, told } from './row.ts';
import { Server } from './server.ts';

const LOW = 10;
const HIGH = 1000;
const CLIENTS = 1500;
const SWITCHES = 100;

/**
 * `concurrency` is switched between 10 and 1000, a hundred times, while 1500 clients come again and again. After it was lowered, those
 * that are served finish, and no other is taken before they have. In the control the limit is fixed at 1000, and compared with the
 * same values.
 */
export const liveLimits: Row = {
  name: 'live limits',
  without: 'concurrency: 1000, not an Observable',
  async measure({ quick, node }, isControl) {
    const options = {
      ...(isControl && { concurrency: HIGH }),
      waiting: { max: CLIENTS, timeout: Number.POSITIVE_INFINITY },
    };
    const job = { options, work: 10, ...(!isControl && { concurrency: HIGH }) };
    const server = await Server.start(job, { node: node.path });
    const from = addresses('127.0.2', 1, 100);
    const clients = await Clients.start(server.port, { manner: 'repeat', count: CLIENTS, from });
    await clients.begin();
    await clients.until(({ served }) => served >= CLIENTS, 20_000);
    let low = 0;
    let high = HIGH;
    for (let i = 0; i < SWITCHES / 2; i++) {
      await server.ask({ ask: 'limit', value: LOW });
      // Once is enough for a miss: the control would always take the whole time.
      const fewer = await server.until(({ active }) => active <= LOW, low > LOW ? 0 : 3000);
      low = Math.max(low, fewer.active);
      if (!quick) await pause(100);
      await server.ask({ ask: 'limit', value: HIGH });
      const more = await server.until(({ active }) => active > 10 * LOW, 3000);
      high = Math.min(high, more.active);
      if (!quick) await pause(100);
    }
    await clients.end();
    const report = await clients.until(({ there }) => there === 0, 20_000);
    const { beyond, most, refused } = await server.ask();
    await Promise.all([clients.stop(), server.stop()]);
    const lost = report.begun - report.served;
    return [
      exactly('connections that were taken beyond the limit that held', beyond, 0),
      exactly('visits that were not served, and refusals', [lost, refused], [0, 0]),
      atMost('connections that are served at a time, the most', most, HIGH, ''),
      atMost('served at a time within 3 s after the limit was lowered, the most', low, LOW, ''),
      atLeast('served at a time within 3 s after it was raised, the fewest', high, 10 * LOW, ''),
      told('visits that were served', report.served, ''),
    ];
  },
};
