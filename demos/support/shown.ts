import { filter, finalize, interval, type MonoTypeOperatorFunction, Observable, tap } from 'rxjs';
import type { CloseReason, ServerEvent } from '../../lib/index.ts';
import { bytes, count, duration, paint, rate } from './format.ts';
import type { StatusLine } from './statusLine.ts';
import type { Traffic } from './traffic.ts';

/** How often the status is drawn, in milliseconds. */
const EVERY = 200;
/** How many events a terminal gets in that time. More than that, and nobody reads them. */
const MOST = 10;
const BAR = 40;

/** The ends that are no news: the status counts them. */
const GOOD: readonly CloseReason[] = ['ended', 'completed', 'drained'];

/**
 * Shows on a terminal how a server is doing: a live status, the progress of its drain, and a report when it is over.
 *
 * It passes on the events that are worth a line of their own. Where there is no terminal it shows nothing, and passes on
 * all of them.
 *
 * @param traffic Is told of every event; the demo counts its requests there.
 */
export function shown(traffic: Traffic, status: StatusLine): MonoTypeOperatorFunction<ServerEvent> {
  const see = tap<ServerEvent>((event) => traffic.see(event));
  if (!status.live) return see;

  return (events) =>
    new Observable((subscriber) => {
      let told = 0;
      let last = { requests: 0, at: performance.now() };
      const draw = () => {
        if (told > MOST) status.print(paint('dim', `… and ${count(told - MOST)} more such events\n`));
        told = 0;
        const now = { requests: traffic.requests, at: performance.now() };
        const perSecond = rate(now.requests - last.requests, now.at - last.at);
        last = now;
        status.show([figures(traffic, perSecond), ...progress(traffic)].join('\n'));
      };
      const drawing = interval(EVERY).subscribe(draw);
      const isNews = (event: ServerEvent) => {
        if (event.type === 'opened' || event.type === 'drained') return false;
        if (event.type === 'closed' && GOOD.includes(event.reason)) return false;
        if (event.type !== 'closed' && event.type !== 'refused') return true;
        return ++told <= MOST;
      };
      const end = () => {
        drawing.unsubscribe();
        status.clear();
        status.print(report(traffic));
      };
      return events.pipe(see, filter(isNews), finalize(end)).subscribe(subscriber);
    });
}

function figures(traffic: Traffic, perSecond: string): string {
  const { active, waiting, refused } = traffic.counters;
  const connections = `${paint('bold', count(active))} active   ${count(waiting)} waiting   ${count(refused)} refused`;
  const work = `${paint('bold', `${perSecond.replace('/s', '')} requests/s`)}   ${moved(traffic)}`;
  return `  ${connections}\n  ${work}`;
}

const moved = ({ bytesIn, bytesOut }: Traffic) => `${bytes(bytesIn)} in   ${bytes(bytesOut)} out`;

function progress({ draining, counters }: Traffic): string[] {
  if (draining === undefined) return [];
  const of = Math.max(draining.of, counters.active);
  const done = of - counters.active;
  const filled = of > 0 ? Math.round((done / of) * BAR) : BAR;
  const bar = paint('cyan', '━'.repeat(filled)) + paint('dim', '─'.repeat(BAR - filled));
  const time = duration(performance.now() - draining.since);
  return [`  ${bar} ${count(done)} of ${count(of)} gone, ${time}`, paint('dim', '  Ctrl-C again aborts the others')];
}

/** The report of the drain, and what was done before it; nothing if there was no drain. */
function report(traffic: Traffic): string {
  const { drained, requests } = traffic;
  if (drained === undefined) return '';
  const { aborted, refused, unsent } = drained;
  const good = aborted === 0;
  const mark = good ? paint('green', '✔') : paint('yellow', '!');
  return [
    '',
    `  ${mark} Drained in ${duration(drained.duration)}`,
    `    ${count(drained.drained)} finished   ${count(aborted)} aborted   ${count(refused)} refused   ${bytes(unsent)} unsent`,
    `    ${count(traffic.counters.accepted)} connections   ${count(requests)} requests   ${moved(traffic)} in all`,
    '',
    '',
  ].join('\n');
}
