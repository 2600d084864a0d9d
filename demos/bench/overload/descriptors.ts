import { setTimeout as pause } from 'node:timers/promises';
import { addresses, Clients } from './clients.ts';
import { atLeast, exactly, latency, type Row, told } from './row.ts';
import { Server } from './server.ts';

const DESCRIPTORS = 256;
const CLIENTS = 600;
const LEAVE = 50;

/**
 * A server with limits of 1000, in a process that may have 256 descriptors. 600 clients come, and those that are refused come again
 * every 250 ms. Those that are served send a line each 100 ms. The process also serves metrics, which are asked for each 100 ms and
 * take two descriptors. Then the refused ones stay away, 50 of the others leave, and a new one comes.
 *
 * The control does not see the descriptors of its connections.
 */
export const descriptors: Row = {
  name: 'descriptors',
  without: 'a transport that does not report descriptors',
  async measure({ quick, node }, isControl) {
    const options = { concurrency: 1000, waiting: { max: 1000 } };
    const job = { options, isBlind: isControl, hasMetrics: true };
    const server = await Server.start(job, { node: node.path, descriptors: DESCRIPTORS });
    const many = await Clients.start(server.port, {
      manner: 'hold',
      count: CLIENTS,
      from: addresses('127.0.2', 1, 100),
      every: 100,
      again: 250,
    });
    const other = await Clients.start(server.port, {
      manner: 'repeat',
      count: 1,
      times: 1,
      patience: 2000,
      server: server.pid,
      from: addresses('127.0.1', 1, 1),
    });
    const metrics = scrape(server.metrics as number, 100);
    await many.begin();
    await pause(quick ? 3000 : 20_000);
    const { events, active, refusals } = await server.ask();
    await many.end();
    await pause(500);
    const { lost, served } = await many.report();
    await many.leave(LEAVE);
    await other.begin();
    const next = await other.until(({ begun, there }) => begun === 1 && there === 0, 3000);
    const scraped = await metrics.stop();
    const after = await server.ask();
    await Promise.all([many.stop(), other.stop(), server.stop()]);
    return [
      exactly('clients that were served, and closed by the server', lost, 0),
      exactly('metrics that could not be read', scraped.failed, 0),
      exactly('events of the shortage: exhausted, overcommitted', [events.exhausted, events.overcommitted], [1, 1]),
      ...latency('a new client after some have left, from the SYN to the reply', 'max', next.times, next.net, 100),
      atLeast('connections that are served with 256 descriptors', active, 180, ''),
      told('clients that had a reply', served, ''),
      told('refused by reason', JSON.stringify(refusals)),
      told('metrics that were read', scraped.read, ''),
      told('events at the end', JSON.stringify(after.events)),
    ];
  },
};

/** Asks for the metrics again and again, on a new connection each time, because the server closes each. */
function scrape(port: number, every: number) {
  const counts = { read: 0, failed: 0 };
  let isOver = false;
  const read = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2000) });
    await response.text();
  };
  const loop = (async () => {
    while (!isOver) {
      await read().then(
        () => counts.read++,
        () => counts.failed++,
      );
      await pause(every);
    }
  })();
  return {
    async stop() {
      isOver = true;
      await loop;
      return counts;
    },
  };
}
