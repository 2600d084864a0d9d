import { addresses, Clients } from './clients.ts';
import { atMost, exactly, type Finding, type Row, told } from './row.ts';
import { Server } from './server.ts';

/** Milliseconds in which closes are counted together. */
const STEP = 100;
/** By how many percent their number may differ from an even one. */
const UNEVEN = 20;

/**
 * A server with thousands of idle connections drains, spread over seconds. The closes are timed where the clients are, and counted from
 * the first one on. The rehearsal is asked for right before.
 */
export const spread: Row = {
  name: 'spread',
  without: 'spread: 0',
  async measure({ quick, node }, isControl) {
    const count = quick ? 1000 : 5000;
    const time = quick ? 2000 : 5000;
    const options = { concurrency: 10_000, spread: isControl ? 0 : time };
    const server = await Server.start({ options }, { node: node.path });
    const clients = await Clients.start(server.port, { manner: 'hold', count, from: addresses('127.0.2', 1, 100) });
    await clients.begin();
    await clients.until(({ served }) => served === count, 20_000);
    const { rehearsal } = await server.ask({ ask: 'rehearse' });
    await server.ask({ ask: 'drain' });
    const { closes, lost, delay } = await clients.until((report) => report.lost === count, 30_000);
    const { drained } = await server.until((answer) => answer.drained !== undefined, 5000);
    await Promise.all([clients.stop(), server.stop()]);
    const { duration = 0, ...report } = drained ?? {};
    const counted = windows(closes, time);
    const even = count / counted.length;
    const off = Math.max(...counted.map((found) => (100 * Math.abs(found - even)) / even));
    const { duration: rehearsed = 0, idle, busy, aborted } = rehearsal ?? {};
    return [
      {
        ...atMost(`closes in ${STEP} ms, and even ones (${even}): the greatest difference`, off, UNEVEN, '%'),
        late: off / UNEVEN,
      },
      exactly('connections that ended', lost, count),
      exactly('the report', report, { type: 'drained', drained: count, aborted: 0, refused: 0, unsent: 0 }),
      exactly('the rehearsal: idle, busy, aborted', [idle, busy, aborted], [count, 0, 0]),
      percent('the rehearsed duration, and the real one: the difference', rehearsed, duration, isControl),
      told('rehearsed, and real', `${rehearsed}, ${Math.round(duration)} ms`),
      told(`closes in ${STEP} ms, fewest and most`, `${Math.min(...counted)}, ${Math.max(...counted)}`),
      told('stalls of the clients themselves, p99 and longest', `${delay.p99.toFixed(1)}, ${delay.max.toFixed(1)} ms`),
    ];
  },
};

/** How many of the times are in each step of a while that begins with the first. */
function windows(times: readonly number[], span: number): number[] {
  const first = Math.min(...times);
  const counts = new Array<number>(span / STEP).fill(0);
  for (const time of times) {
    const step = Math.min(counts.length - 1, Math.floor((time - first) / STEP));
    counts[step] = (counts[step] ?? 0) + 1;
  }
  return counts;
}

/** A drain without a spread takes no time at all, of which a share means nothing. */
function percent(what: string, one: number, other: number, isControl: boolean): Finding {
  return isControl ? told(what, one - other, 'ms') : atMost(what, (100 * Math.abs(one - other)) / other, 10, '%');
}
