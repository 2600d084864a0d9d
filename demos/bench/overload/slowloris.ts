import { setTimeout as pause } from 'node:timers/promises';
import { addresses, Clients } from './clients.ts';
import { atLeast, latency, percentiles, type Row, told } from './row.ts';
import { Server } from './server.ts';

const SLOW = 2500;
const VISITORS = 60;

/**
 * 2500 clients of five addresses send a byte a second, never end a line, and come back at once when they are closed. The server has
 * its defaults: 1000 places. Sixty other clients, each of its own address, come once a second.
 *
 * The visitors have a process of their own, to which the slow ones give way: so a latency is not that of the slow ones' stalls.
 */
export const slowloris: Row = {
  name: 'slowloris',
  without: 'perAddress: { connections: Infinity }',
  async measure({ quick, node }, isControl) {
    const options = isControl ? { perAddress: { connections: Number.POSITIVE_INFINITY } } : {};
    const server = await Server.start({ options }, { node: node.path });
    const slow = await Clients.start(server.port, {
      manner: 'drip',
      count: SLOW,
      from: addresses('127.0.0', 2, 5),
      every: 1000,
      yields: true,
    });
    const visitors = await Clients.start(server.port, {
      manner: 'arrive',
      perSecond: VISITORS,
      server: server.pid,
      from: addresses('127.0.1', 1, VISITORS),
    });
    await slow.begin();
    const full = await server.until(({ accepted, active }) => accepted >= SLOW && active >= 700, 20_000);
    const before = await slow.report();
    const used = server.used;
    const { accepted } = await server.ask();
    await visitors.begin();
    await pause(quick ? 4000 : 40_000);
    await visitors.end();
    const { waited, ran } = server.used;
    const took = (await server.ask()).accepted - accepted;
    // Without a limit a client waits for 5 s, and is then refused.
    const { begun, served, times, net, delay } = await visitors.until(({ there }) => there === 0, 7000);
    const after = await slow.report();
    const { delay: stalls } = await server.ask();
    await Promise.all([slow.stop(), visitors.stop(), server.stop()]);
    return [
      atLeast('visitors that are served', (100 * served) / begun, 100, '%'),
      ...latency('from the SYN to the reply', 'p99', times, net, 100),
      told('the longest', served > 0 ? percentiles(times).max : 'none', 'ms'),
      told('visitors that came, and were served', `${begun}, ${served}`),
      told('places that the slow ones have when the visitors begin', full.active, ''),
      told('slow ones that came back meanwhile', after.begun - before.begun, ''),
      told('stalls of the visitors themselves, p99', delay.p99, 'ms'),
      told('stalls of the server, p99', stalls.p99, 'ms'),
      told(
        'the server ran, and waited for its core',
        `${Math.round(ran - used.ran)}, ${Math.round(waited - used.waited)} ms`,
      ),
      told('processor time of the server for each connection', (1000 * (ran - used.ran)) / took, 'µs'),
    ];
  },
};
