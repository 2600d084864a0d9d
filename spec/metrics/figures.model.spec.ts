import fc from 'fast-check';
import type { Registry } from 'prom-client';
import { concatMap, delay, map, type Observable, of, throwError } from 'rxjs';
import { expect, it } from 'vitest';
import { lines, type ServerEvent } from '../../lib/index.ts';
import type { Handler } from '../../lib/serve.ts';
import type { MemoryClient } from '../../lib/testing/index.ts';
import { MeasuredServer } from './measuredServer.ts';
import { Page } from './page.ts';

/** What happens to a server: a client comes, or one of them does something, or time passes, or the server drains. */
type Step =
  | { readonly does: 'connect' }
  | { readonly does: 'drain' }
  | { readonly does: 'scrape' }
  | { readonly does: 'pass'; readonly ms: number }
  | { readonly does: 'write'; readonly which: number; readonly text: string }
  | { readonly does: 'end' | 'break' | 'pause' | 'resume'; readonly which: number };

const which = fc.nat(9);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Step>({ does: 'connect' }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ does: 'scrape' }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('pass' as const), ms: fc.nat(400) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant('write' as const),
      which,
      text: fc.constantFrom('hello\n', 'a', 'long\n', 'fail\n', 'late\n', `${'x'.repeat(90)}\n`),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constantFrom('end' as const, 'break' as const, 'pause' as const, 'resume' as const),
      which,
    }),
  },
);

const handler =
  (server: () => MeasuredServer): Handler =>
  (connection) =>
    connection.pipe(
      lines({ maxLength: 64 }),
      concatMap((line) => {
        if (line === 'fail') return throwError(() => new Error('a line that fails'));
        if (line === 'late') return of('late\n').pipe(delay(150, server().clock));
        return of(line === 'long' ? 'y'.repeat(100_000) : line);
      }),
      map((line) => `${line}\n`),
    );

const options = {
  concurrency: 3,
  waiting: { max: 2, timeout: 300 },
  greeting: 500,
  idle: 1000,
  frame: 300,
  grace: 400,
  linger: 50,
} as const;

async function play(server: MeasuredServer, clients: MemoryClient[], step: Step): Promise<void> {
  if (step.does === 'connect') clients.push(server.network.connect({ allowHalfOpen: true }));
  else if (step.does === 'drain') server.shutdown.next('SIGTERM');
  else if (step.does === 'pass') return server.clock.advance(step.ms);
  else if (step.does !== 'scrape') {
    const client = clients[step.which % Math.max(1, clients.length)];
    if (step.does === 'write') client?.write(step.text);
    else client?.[step.does]();
  }
  return server.clock.settle();
}

/** What the metrics must be, from the events and the live objects. */
function expected({ log }: MeasuredServer) {
  const { accepted, waiting, active } = log.counters;
  const closed = log.of('closed');
  const open = [...(log.of('listening')[0]?.connections ?? [])];
  const sum = (of: (one: { bytesIn: number; bytesOut: number; paused: { peer: number; handler: number } }) => number) =>
    [...closed, ...open].reduce((total, one) => total + of(one), 0);
  const count = (names: readonly (string | undefined)[]) =>
    names.reduce<Record<string, number>>(
      (counts, name) => (name === undefined ? counts : Object.assign(counts, { [name]: (counts[name] ?? 0) + 1 })),
      {},
    );
  return {
    counters: [accepted, waiting, active],
    closes: count(closed.map(({ reason }) => reason)),
    refusals: count(log.refusals),
    deadlines: count([...closed, ...log.of('refused')].map(({ deadline }) => deadline)),
    failures: count(log.of('failed').map(({ id, callback }) => callback ?? (id === undefined ? 'port' : 'handler'))),
    io: [sum(({ bytesIn }) => bytesIn), sum(({ bytesOut }) => bytesOut)],
    paused: [sum(({ paused }) => paused.peer) / 1e3, sum(({ paused }) => paused.handler) / 1e3],
    durations: [closed.length, closed.reduce((total, { duration }) => total + duration / 1e3, 0)],
    waits: [log.of('opened').length, log.of('opened').reduce((total, { waited }) => total + waited / 1e3, 0)],
    unsent: closed.reduce((total, { unsent }) => total + unsent, 0),
  };
}

function shown(page: Page): ReturnType<typeof expected> {
  const all = (name: string) =>
    page.samples.filter((one) => one.name === name).reduce((total, { value }) => total + value, 0);
  const get = (name: string, labels = {}) => page.get(name, labels) ?? 0;
  return {
    counters: ['accepted_connections_total', 'queued_connections', 'active_connections'].map((name) =>
      get(`sluice_${name}`),
    ),
    closes: page.by('sluice_closed_connections_total', 'sluice_close_reason'),
    refusals: page.by('sluice_rejected_connections_total', 'error_type'),
    deadlines: page.by('sluice_missed_deadlines_total', 'sluice_deadline_name'),
    failures: page.by('sluice_failures_total', 'sluice_failure_source'),
    io: ['receive', 'transmit'].map((way) => get('sluice_network_io_bytes_total', { network_io_direction: way })),
    paused: ['peer', 'handler'].map((cause) => get('sluice_pause_time_seconds_total', { sluice_pause_cause: cause })),
    durations: [all('sluice_connection_duration_seconds_count'), all('sluice_connection_duration_seconds_sum')],
    waits: [all('sluice_connection_queue_duration_seconds_count'), all('sluice_connection_queue_duration_seconds_sum')],
    unsent: get('sluice_connection_unsent_bytes_total'),
  };
}

/** The values of a page that must not decrease. */
const countersOf = (text: string) =>
  new Map(
    [...text.matchAll(/^(\w+_(?:total|count|bucket|sum)\b.*) (\S+)$/gm)].map(([, name = '', value]) => [
      name,
      Number(value),
    ]),
  );

const rounded = (figures: object) =>
  JSON.parse(JSON.stringify(figures), (_, one) => (typeof one === 'number' ? Math.round(one * 1e6) : one));

it('metrics equal the counters and the events after any steps, both reports agree, and no counter ever decreases', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.array(step, { maxLength: 8 }), async (before, after) => {
      const clients: MemoryClient[] = [];
      const pages: Promise<string>[] = [];
      // A scrape within an event is the hardest: some subscribers have received it, and some have not.
      const first = (events: Observable<ServerEvent>, registry: Registry) => {
        const scrape = () => void pages.push(registry.metrics());
        events.subscribe((event) => {
          if (event.type === 'listening') event.connections.changes.subscribe(scrape);
          scrape();
        });
      };
      const server: MeasuredServer = await MeasuredServer.open(
        handler(() => server),
        options,
        first,
      );
      for (const one of [...before, { does: 'drain' } as const, ...after, { does: 'pass', ms: 2000 } as const]) {
        await play(server, clients, one);
        const text = server.registry.metrics();
        pages.push(text);
        const page = new Page(await text);
        expect(rounded(shown(page))).toEqual(rounded(expected(server)));
        const other = await server.reader.page();
        for (const [name, value] of page.all) {
          if (!name.startsWith('sluice_')) continue;
          // OpenTelemetry has no histogram before its first value.
          const isEmpty = !other.has(name) && /_(bucket|sum|count) /.test(name);
          // Both add the same fractions of a second, but not in the same order.
          expect(rounded([name, isEmpty ? 0 : other.get(name)])).toEqual(rounded([name, value]));
        }
        expect([...other.keys()].filter((name) => !page.all.has(name) && name.startsWith('sluice_'))).toEqual([]);
      }
      expect(server.log.completed).toBe(true);
      const all = (await Promise.all(pages)).map(countersOf);
      for (const [i, counters] of all.entries()) {
        const decreased = [...(all[i - 1] ?? [])].filter(([name, value]) => !((counters.get(name) ?? -1) >= value));
        expect(decreased).toEqual([]);
      }
      server.end();
    }),
    { numRuns: 15 },
  );
});
