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
import { type CloseReason, printable, type ServerEvent } from '../../lib/index.ts';
import { bytes, count, duration, paint } from './format.ts';
import type { StatusLine } from './statusLine.ts';
import type { Traffic } from './traffic.ts';

/** Time between two draws of the status, in milliseconds. */
const EVERY = 200;
/** Events printed on a terminal in that time. More would scroll past unread. */
const MOST = 10;
const BAR = 40;
/** Reasons of refusals that are shown. */
const MOST_REASONS = 3;

/** The events of a single connection. A server may emit thousands of them a second. */
const ONE_OF_MANY: readonly ServerEvent['type'][] = ['opened', 'closed', 'refused', 'failed'];
/** The close reasons of the normal case. They get no line of their own, because the status counts them. */
const GOOD: readonly CloseReason[] = ['ended', 'completed', 'drained'];

/** Settings of {@link shown} that differ from demo to demo. */
export interface ShownOptions {
  /** Whether an event is reported at all, on a terminal or elsewhere. @default every event is */
  readonly reports?: (event: ServerEvent) => boolean;
  /** Lines below the figures. @default none */
  readonly lines?: () => readonly string[];
  /** Whether the demo counts requests. @default true */
  readonly requests?: boolean;
}

/**
 * Shows the state of a server on a terminal: a live status, the progress of its drain, and a report at the end.
 *
 * On a terminal it passes on only the events that are printed as a line of their own. Elsewhere it shows nothing, and passes on
 * every event that the demo reports.
 *
 * @param traffic Receives every event; the demo counts its requests there.
 * @param verbose Whether every event gets a line. @default false
 * @param options See {@link ShownOptions}.
 */
export function shown(
  traffic: Traffic,
  status: StatusLine,
  verbose = false,
  { reports = () => true, lines = () => [], requests: counted = true }: ShownOptions = {},
): MonoTypeOperatorFunction<ServerEvent> {
  const see = (events: Observable<ServerEvent>) =>
    events.pipe(
      tap((event) => traffic.see(event)),
      filter(reports),
    );
  if (!status.live) return see;

  return (events) =>
    defer(() => {
      let printed = 0;
      let requests = 0;
      const draw = (ms: number) => {
        if (printed > MOST) status.print(paint('dim', `… and ${count(printed - MOST)} more such events\n`));
        printed = 0;
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
        return ++printed <= MOST;
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
  const { concurrency, isParked = false } = traffic.limits ?? {};
  const perSecond = requests === undefined || ms === 0 ? 0 : (requests * 1000) / ms;
  return [
    `  ${paint('bold', count(active))}${concurrency === undefined ? '' : ` of ${count(concurrency)}`} active   ${count(waiting)} waiting   ${count(refused)} refused${isParked ? '   parked' : ''}`,
    ...reasons(traffic),
    `  ${requests === undefined ? '' : `${paint('bold', count(perSecond))} requests/s   `}${moved(traffic)}`,
  ];
}

/** The reasons of most refusals, if there were any. */
function reasons({ refusals }: Traffic): string[] {
  const most = [...refusals].sort(([, a], [, b]) => b - a).slice(0, MOST_REASONS);
  if (most.length === 0) return [];
  return [paint('dim', `  refused: ${most.map(([reason, times]) => `${count(times)} ${short(reason)}`).join(', ')}`)];
}

/** A reason may be any text of the user's. */
const short = (reason: string) => printable(reason).slice(0, 16);

const moved = ({ bytesIn, bytesOut }: Traffic) => `${bytes(bytesIn)} in   ${bytes(bytesOut)} out`;

function progress({ draining, counters }: Traffic): string[] {
  if (draining === undefined) return [];
  const of = Math.max(draining.of, counters.active);
  const done = of - counters.active;
  const filled = of > 0 ? Math.round((done / of) * BAR) : BAR;
  const bar = paint('cyan', '━'.repeat(filled)) + paint('dim', '─'.repeat(BAR - filled));
  const time = duration(performance.now() - draining.since);
  return [`  ${bar} ${count(done)} of ${count(of)} closed, ${time}`, paint('dim', '  Ctrl-C again aborts the rest')];
}

/** The report of the drain, and of all traffic before it; empty if there was no drain. */
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
