import type { Logger } from 'pino';
import { interval, type Subscription } from 'rxjs';
import { count, duration, paint, rate, type StatusLine } from '../support/index.ts';
import { heading } from './print.ts';
import type { Run } from './run.ts';

const BAR = 40;
/** Columns of the curve of throughput. */
const CURVE = 60;
const LEVELS = '▁▂▃▄▅▆▇█';

/** Shows the progress of a run: drawn five times a second on a terminal, otherwise logged once a second. */
export function progress(run: Run, status: StatusLine, log: Logger): Subscription {
  const every = status.live ? 200 : 1000;
  const rates: number[] = [];
  let answered = 0;
  let at = performance.now();
  return interval(every).subscribe(() => {
    const now = performance.now();
    const since = { answered: run.tally.answered - answered, ms: now - at };
    answered = run.tally.answered;
    at = now;
    if (run.startedAt > 0) rates.push((since.answered * 1000) / since.ms);
    if (status.live) status.show(draw(run, rates, now));
    else log.info(summary(run, since), 'running');
  });
}

function summary(run: Run, since: { answered: number; ms: number }) {
  const { sent, answered, wrong, lost, latency } = run.tally;
  return {
    perSecond: Math.round((since.answered * 1000) / since.ms),
    p50: latency.getValueAtPercentile(50) / 1000,
    p99: latency.getValueAtPercentile(99) / 1000,
    open: run.live,
    sent,
    answered,
    wrong,
    lost,
  };
}

function draw(run: Run, rates: number[], now: number): string {
  const { options, startedAt, stoppedAt, tally } = run;
  const title = heading({ ...options, connections: { wanted: options.connections, opened: run.connected } });
  if (startedAt === 0) return `${title}\n  connecting …`;
  const elapsed = Math.min((stoppedAt || now) - startedAt, options.duration);
  const filled = Math.round((elapsed / options.duration) * BAR);
  const bar = paint('cyan', '━'.repeat(filled)) + paint('dim', '━'.repeat(BAR - filled));
  const doing =
    stoppedAt > 0 ? 'waiting for the last replies' : `${duration(elapsed)} of ${duration(options.duration)}`;
  const at = (percentile: number): string => duration(tally.latency.getValueAtPercentile(percentile) / 1000);
  const figures = [
    paint('bold', rate(rates.at(-1) ?? 0, 1000)),
    tally.answered > 0 ? `p50 ${at(50)}` : '',
    tally.answered > 0 ? `p99 ${at(99)}` : '',
    `${count(run.live)} open`,
  ];
  return [
    title,
    `  ${bar}  ${doing}`,
    `  ${figures.filter(Boolean).join('   ')}`,
    `  ${paint('green', curve(rates))}`,
  ].join('\n');
}

/** The last rates as a line of blocks, on a scale from zero to the highest of them. */
export function curve(rates: number[]): string {
  const shown = rates.slice(-CURVE);
  const most = Math.max(...shown, 1);
  return shown.map((n) => LEVELS[Math.round((n / most) * (LEVELS.length - 1))]).join('');
}
