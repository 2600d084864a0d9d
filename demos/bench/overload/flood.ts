import { setTimeout as pause } from 'node:timers/promises';
import { addresses, Clients } from './clients.ts';
import { atMost, exactly, type Row, told } from './row.ts';
import { Server } from './server.ts';

const PER_SECOND = 10_000;
const ACCEPTS = 500;

/** 10 000 connects a second, against a rate of 500. Each client sends a line, and closes when it has its reply. */
export const flood: Row = {
  name: 'flood',
  without: 'no accepts',
  async measure({ quick, node }, isControl) {
    const count = quick ? 2 * PER_SECOND : 10 * PER_SECOND;
    const options = { concurrency: 10_000, ...(isControl ? {} : { accepts: { perSecond: ACCEPTS } }) };
    const server = await Server.start({ options }, { node: node.path });
    const job = { manner: 'arrive', perSecond: PER_SECOND, from: addresses('127.0.2', 1, 100) } as const;
    const half = { ...job, perSecond: PER_SECOND / 2, count: count / 2 };
    // Two processes, because clients whose SYN was dropped keep their descriptors for a second and more.
    const clients = [await Clients.start(server.port, half), await Clients.start(server.port, half)];
    // What the first connections leave behind, such as code that is compiled, is not the flood's.
    const warm = await Clients.start(server.port, { ...job, count: 2000 });
    await warm.begin();
    await warm.until(({ begun, there }) => begun === 2000 && there === 0, 10_000);
    await warm.stop();
    await pause(300);
    const before = await server.ask({ ask: 'heap' });
    // The collection is no part of the delay.
    await server.ask();
    const used = server.used;
    const begun = performance.now();
    await Promise.all(clients.map((some) => some.begin()));
    const isOver = (report: { begun: number; there: number }) => report.begun === half.count && report.there === 0;
    const reports = await Promise.all(clients.map((some) => some.until(isOver, 60_000)));
    const sum = (what: 'served' | 'refused' | 'reset' | 'failed') =>
      reports.reduce((all, report) => all + report[what], 0);
    const seconds = (performance.now() - begun) / 1000;
    const { delay } = await server.ask();
    const { waited, ran } = server.used;
    await pause(300);
    const after = await server.ask({ ask: 'heap' });
    await Promise.all([...clients.map((some) => some.stop()), server.stop()]);
    return [
      exactly('accepted, and clients that were connected', after.accepted - before.accepted, count - sum('failed')),
      exactly(
        'refused, as the server counts and as the clients do',
        after.refused - before.refused,
        sum('refused') + sum('reset'),
      ),
      atMost('served', sum('served'), Math.ceil(ACCEPTS * (seconds + 1)), ''),
      atMost('event-loop delay of the server, p99', delay.p99, 50, 'ms'),
      atMost('the heap grows by', (after.heap - before.heap) / 1e6, 1, 'MB'),
      told('it took, for all clients', seconds, 's'),
      told('event-loop delay, longest', delay.max, 'ms'),
      told(
        'the server ran, and waited for its core',
        `${Math.round(ran - used.ran)}, ${Math.round(waited - used.waited)} ms`,
      ),
      told('connects that failed, by code', JSON.stringify(reports.map(({ errors }) => errors))),
      told('refused by reason', JSON.stringify(after.refusals)),
    ];
  },
};
