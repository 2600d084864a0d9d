import { addresses, Clients } from './clients.ts';
import { atLeast, atMost, exactly, type Finding, type Row, told } from './row.ts';
import { Server } from './server.ts';
import type { Wait } from './waits.ts';

/** Milliseconds in which closes are counted together. */
const STEP = 100;
/** Milliseconds in which what is late because of a wait is done, and seen. */
const AFTER = 15;
/** Milliseconds without a core in a step from which on it is left out. */
const MOST = 5;
/** By how many percent their number may differ from an even one. */
const UNEVEN = 20;

/**
 * A server with thousands of idle connections drains, spread over seconds. The closes are timed where the clients are, and counted from
 * the first one on. The rehearsal is asked for right before. Steps in which the server or the clients were ready, and another process
 * had their core for 5 ms or more in all, are left out, as are those right after that: they are uneven because of the machine.
 */
export const spread: Row = {
  name: 'spread',
  without: 'spread: 0',
  async measure({ quick, node }, isControl) {
    const count = quick ? 1000 : 5000;
    const time = quick ? 2000 : 5000;
    const options = { concurrency: 10_000, spread: isControl ? 0 : time };
    const server = await Server.start({ options, recordsWaits: true }, { node: node.path });
    const clients = await Clients.start(server.port, { manner: 'hold', count, from: addresses('127.0.2', 1, 100) });
    await clients.begin();
    await clients.until(({ served }) => served === count, 20_000);
    const { rehearsal } = await server.ask({ ask: 'rehearse' });
    await server.ask({ ask: 'drain' });
    const { closes, lost, waits } = await clients.until((report) => report.lost === count, 30_000);
    const { drained, waits: others } = await server.until((answer) => answer.drained !== undefined, 5000);
    await Promise.all([clients.stop(), server.stop()]);
    const { duration = 0, ...report } = drained ?? {};
    const even = (count * STEP) / time;
    const steps = windows(closes);
    const kept = isControl
      ? steps
      : steps.filter(({ from }) => waited(from, waits) < MOST && waited(from, others) < MOST);
    const off = Math.max(...kept.map((step) => (100 * Math.abs(step.closes - even)) / even));
    const counts = kept.map((step) => step.closes);
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
      told(`closes in ${STEP} ms, fewest and most`, `${Math.min(...counts)}, ${Math.max(...counts)}`),
      atLeast(
        `of the ${steps.length} times of ${STEP} ms, those in which both processes could run`,
        kept.length,
        1,
        '',
      ),
    ];
  },
};

interface Step {
  /** In milliseconds since 1970. */
  readonly from: number;
  readonly closes: number;
}

/** The whole steps from the first close to the last, and at least one. */
function windows(closes: readonly number[]): Step[] {
  const first = Math.min(...closes);
  const length = Math.max(1, Math.floor((Math.max(...closes) - first) / STEP));
  const steps = Array.from({ length }, (_, i) => ({ from: first + i * STEP, closes: 0 }));
  for (const at of closes) {
    const step = steps[Math.floor((at - first) / STEP)];
    if (step) step.closes++;
  }
  return steps;
}

/** Milliseconds that a process waited for a core in a step, or right before it. */
function waited(step: number, waits: readonly Wait[]): number {
  let sum = 0;
  for (const [from, to, ms] of waits) if (from < step + STEP && to + AFTER > step) sum += ms;
  return sum;
}

/** A drain without a spread takes no time at all, of which a share means nothing. */
function percent(what: string, one: number, other: number, isControl: boolean): Finding {
  return isControl ? told(what, one - other, 'ms') : atMost(what, (100 * Math.abs(one - other)) / other, 10, '%');
}
