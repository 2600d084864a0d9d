import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type StatusLine, shown, Traffic } from '../../demos/support/index.ts';
import type { Closed, CloseReason, Connection, ConnectionTable, ConnectionView, ServerEvent } from '../../lib/index.ts';
import { marbles } from '../support/marbles.ts';

/** A terminal that records what is shown on it. */
class Terminal implements StatusLine {
  readonly live: boolean = true;
  readonly shown: string[] = [];
  printed = '';
  show(text: string): void {
    this.shown.push(stripVTControlCharacters(text));
  }
  print(text: string): void {
    this.printed += stripVTControlCharacters(text);
  }
  clear(): void {
    this.shown.push('');
  }
}

const end = { address: '127.0.0.1', port: 1 };
const counters = { accepted: 1234, waiting: 1, active: 1000, closed: 230, refused: 3 };
const connections = new Set<ConnectionView>([
  { bytesIn: 1000, bytesOut: 24 } as Connection,
]) as unknown as ConnectionTable;
const figures: Closed = {
  ...{ reason: 'ended', bytesIn: 24, bytesOut: 1000, unsent: 0, dropped: 0, duration: 1 },
  paused: { peer: 0, handler: 0, budget: 0 },
};
const closed = (reason: CloseReason): ServerEvent => ({ type: 'closed', id: 1, peer: end, ...figures, reason });

const refusals = new Map([
  ['full', 1],
  ['a reason that somebody has made long', 2],
]);
const limits = { concurrency: 5000, waiting: 1000, isParked: false, isClosed: false };
const resources = { held: 0, budget: 1_000_000, handshakes: 0, descriptors: 10_000 };
const l: ServerEvent = { type: 'listening', address: end, counters, refusals, limits, resources, connections };
const o: ServerEvent = { type: 'opened', id: 1, peer: end, waited: 0 };
const c = closed('ended');
const r = closed('reset');
const g: ServerEvent = { type: 'draining', active: 4000, waiting: 1 };
const D: ServerEvent = { type: 'drained', drained: 3998, aborted: 2, refused: 1, unsent: 2048, duration: 1500 };
const f: ServerEvent = { type: 'refused', id: 2, peer: end, reason: 'full', waited: 0 };
const all = { l, o, c, r, g, D, f };

describe('shown', () => {
  it(
    'passes on the events that are printed, and only counts the rest',
    marbles(({ hot, expectObservable }) => {
      const events = '  l-o-c-r-f-g-(D|)';
      const expected = 'l-----r-f-g-|';
      const verbose = ' l-o-c-r-f-g-|';
      expectObservable(hot(events, all).pipe(shown(new Traffic(), new Terminal()))).toBe(expected, all);
      expectObservable(hot(events, all).pipe(shown(new Traffic(), new Terminal(), true))).toBe(verbose, all);
    }),
  );

  it(
    'draws five times a second, and prints a report at the end',
    marbles(({ hot, flush }) => {
      const terminal = new Terminal();
      const traffic = new Traffic();
      hot('l 149ms c 399ms g 99ms (D|)', all).pipe(shown(traffic, terminal)).subscribe();
      traffic.requests = 2000;
      flush();
      expect(terminal.shown).toEqual([
        '  1,000 of 5,000 active   1 waiting   3 refused\n  refused: 2 a reason that so, 1 full\n  10,000 requests/s   1.00 KiB in   1.00 KiB out',
        '  1,000 of 5,000 active   1 waiting   3 refused\n  refused: 2 a reason that so, 1 full\n  0 requests/s   1.00 KiB in   1.00 KiB out',
        expect.stringMatching(
          /^ {2}1,000 of 5,000 active.*\n.*1 full\n.*out\n {2}━{30}─{10} 3,000 of 4,000 closed, .*\n {2}Ctrl-C again/,
        ),
        '',
      ]);
      expect(terminal.printed).toBe(`
  ! Drained in 1.50 s
    3,998 finished   2 aborted   1 refused   2.00 KiB unsent
    1,234 connections   2,000 requests   1.00 KiB in   1.00 KiB out in all

`);
      const widths = [...terminal.shown, terminal.printed]
        .flatMap((text) => text.split('\n'))
        .map((line) => line.length);
      expect(Math.max(...widths)).toBeLessThan(80);
    }),
  );

  it(
    'shows the lines of the demo, and no requests if the demo counts none',
    marbles(({ hot, flush }) => {
      const terminal = new Terminal();
      const options = { requests: false, lines: () => ['  one of mine'] };
      hot('l 149ms c 99ms (D|)', all)
        .pipe(shown(new Traffic(), terminal, false, options))
        .subscribe();
      flush();
      const text =
        '  1,000 of 5,000 active   1 waiting   3 refused\n  refused: 2 a reason that so, 1 full\n  1.00 KiB in   1.00 KiB out\n  one of mine';
      expect(terminal.shown).toEqual([text, '']);
      expect(terminal.printed).toContain('    1,234 connections   1.00 KiB in   1.00 KiB out in all\n');
    }),
  );

  it(
    'omits events that the demo does not report, even from the number of events not shown',
    marbles(({ hot, expectObservable, flush }) => {
      const terminal = new Terminal();
      const piped = Object.assign(new Terminal(), { live: false });
      const reports = ({ type }: ServerEvent) => type !== 'refused' && type !== 'closed';
      const events = '  l(ffffffffffffff) 200ms r-(D|)';
      const shows = '   l---------------- 200ms --|';
      const passes = '  l---------------- 200ms --(D|)';
      const traffic = new Traffic();
      expectObservable(hot(events, all).pipe(shown(traffic, terminal, false, { reports }))).toBe(shows, all);
      expectObservable(hot(events, all).pipe(shown(new Traffic(), piped, false, { reports }))).toBe(passes, all);
      flush();
      expect(terminal.printed).not.toContain('more such events');
      expect(traffic.bytesIn).toBe(1024);
    }),
  );

  it(
    'prints at most ten events a draw on a terminal, and the number of the rest',
    marbles(({ hot, flush }) => {
      const terminal = new Terminal();
      const seen: ServerEvent[] = [];
      const error = new Error('broken');
      const x: ServerEvent = { type: 'failed', id: 1, peer: end, error };
      hot('l(ffffffffffffff) 200ms f 199ms (xxxxxxxxxxxx) 200ms |', { ...all, x })
        .pipe(shown(new Traffic(), terminal))
        .subscribe((event) => seen.push(event));
      flush();
      expect(seen.filter(({ type }) => type === 'refused')).toHaveLength(11);
      expect(seen.filter(({ type }) => type === 'failed')).toHaveLength(10);
      expect(terminal.printed).toBe('… and 4 more such events\n… and 2 more such events\n');
    }),
  );

  it(
    'stops drawing when it is unsubscribed, or when the server errors',
    marbles(({ cold, flush }) => {
      const [one, other] = [new Terminal(), new Terminal()];
      cold('l 500ms #', all)
        .pipe(shown(new Traffic(), one))
        .subscribe({ error: () => {} });
      const subscription = cold('l', all).pipe(shown(new Traffic(), other)).subscribe();
      cold('500ms x').subscribe(() => subscription.unsubscribe());
      flush();
      expect([one.shown.length, other.shown.length]).toEqual([3, 3]);
      expect([one.printed, other.printed]).toEqual(['', '']);
    }),
  );

  it(
    'shows nothing without a terminal, and passes every event on',
    marbles(({ hot, expectObservable, flush }) => {
      const terminal = Object.assign(new Terminal(), { live: false });
      const traffic = new Traffic();
      expectObservable(hot('l-o-c-r-f-g-(D|)', all).pipe(shown(traffic, terminal))).toBe('l-o-c-r-f-g-(D|)', all);
      flush();
      expect([terminal.shown, terminal.printed]).toEqual([[], '']);
      expect(traffic.drained).toBe(D);
    }),
  );
});
