import {
  defer,
  filter,
  finalize,
  interval,
  type MonoTypeOperatorFunction,
  type Observable,
  tap,
  timeInterval,
} from 'rxjs';
import type { CloseReason, ServerEvent } from '../../lib/index.ts';
import { bytes, count, duration, paint } from './format.ts';
import type { StatusLine } from './statusLine.ts';
import type { Traffic } from './traffic.ts';

/** How often the status is drawn, in milliseconds. */
const EVERY = 200;
/** How many events a terminal gets in that time. More than that, and nobody reads them. */
const MOST = 10;
const BAR = 40;

/** What happens to one connection, and so to thousands. */
const ONE_OF_MANY: readonly ServerEvent['type'][] = ['opened', 'closed', 'refused', 'failed'];
/** The ends that are no news: the status counts them. */
const GOOD: readonly CloseReason[] = ['ended', 'completed', 'drained'];

/** What a demo has of its own. */
export interface ShownOptions {
  /** Whether it wants to say anything of an event at all, on a terminal or elsewhere. @default of each */
  readonly tells?: (event: ServerEvent) => boolean;
  /** Lines below the figures. @default none */
  readonly lines?: () => readonly string[];
  /** Whether it knows what a request is, and counts them. @default true */
  readonly requests?: boolean;
}

/**
 * Shows on a terminal how a server is doing: a live status, the progress of its drain, and a report when it is over.
 *
 * It passes on the events that are worth a line of their own. Where there is no terminal it shows nothing, and passes on
 * all that the demo tells of.
 *
 * @param traffic Is told of every event; the demo counts its requests there.
 * @param verbose Whether every event is worth a line. @default false
 * @param options See {@link ShownOptions}.
 */
export function shown(
  traffic: Traffic,
  status: StatusLine,
  verbose = false,
  { tells = () => true, lines = () => [], requests: counted = true }: ShownOptions = {},
): MonoTypeOperatorFunction<ServerEvent> {
  const see = (events: Observable<ServerEvent>) =>
    events.pipe(
      tap((event) => traffic.see(event)),
      filter(tells),
    );
  if (!status.live) return see;

  return (events) =>
    defer(() => {
      let told = 0;
      let requests = 0;
      const draw = (ms: number) => {
        if (told > MOST) status.print(paint('dim', `… and ${count(told - MOST)} more such events\n`));
        told = 0;
        const since = counted ? traffic.requests - requests : undefined;
        status.show([...figures(traffic, since, ms), ...lines(), ...progress(traffic)].join('\n'));
        requests = traffic.requests;
      };
      const drawing = interval(EVERY)
        .pipe(timeInterval())
        .subscribe((tick) => draw(tick.interval));
      const isNews = (event: ServerEvent) => {
        if (!ONE_OF_MANY.includes(event.type)) return event.type !== 'drained';
        if (!verbose && (event.type === 'opened' || (event.type === 'closed' && GOOD.includes(event.reason))))
          return false;
        return ++told <= MOST;
      };
      const end = () => {
        drawing.unsubscribe();
        status.clear();
        status.print(report(traffic, counted));
      };
      return events.pipe(see, filter(isNews), finalize(end));
    });
}

function figures(traffic: Traffic, requests: number | undefined, ms: number): string[] {
  const { active, waiting, refused } = traffic.counters;
  const perSecond = requests === undefined || ms === 0 ? 0 : (requests * 1000) / ms;
  return [
    `  ${paint('bold', count(active))} active   ${count(waiting)} waiting   ${count(refused)} refused`,
    `  ${requests === undefined ? '' : `${paint('bold', count(perSecond))} requests/s   `}${moved(traffic)}`,
  ];
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
function report(traffic: Traffic, counted: boolean): string {
  const { drained, requests } = traffic;
  if (drained === undefined) return '';
  const { aborted, refused, unsent } = drained;
  const good = aborted === 0;
  const mark = good ? paint('green', '✔') : paint('yellow', '!');
  return [
    '',
    `  ${mark} Drained in ${duration(drained.duration)}`,
    `    ${count(drained.drained)} finished   ${count(aborted)} aborted   ${count(refused)} refused   ${bytes(unsent)} unsent`,
    `    ${count(traffic.counters.accepted)} connections   ${counted ? `${count(requests)} requests   ` : ''}${moved(traffic)} in all`,
    '',
    '',
  ].join('\n');
}
