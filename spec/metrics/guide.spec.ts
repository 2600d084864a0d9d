import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { histograms } from '../../lib/metrics/histograms.ts';
import type { HistogramInstrument, Instrument } from '../../lib/metrics/instrument.ts';
import { processInstruments, refusalReasons, serverInstruments } from '../../lib/metrics/instruments.ts';
import { prometheusName, sanitized } from '../../lib/prometheus/names.ts';
import { home, PageCode } from '../support/page.ts';
import { skippedWithout } from '../support/systemd/programs.ts';
import { MeasuredServer } from './measuredServer.ts';

const page = 'lib/metrics/METRICS.md';
const instruments: readonly (Instrument<never> | HistogramInstrument)[] = [
  ...serverInstruments,
  ...Object.values(histograms),
  ...processInstruments,
];

let code: PageCode;
let text: string;
/** The source of the types of events. */
let types: string;

beforeAll(async () => {
  code = await PageCode.of(page);
  text = await readFile(join(home, page), 'utf8');
  const sources = ['lib/events.ts', 'lib/connectionView.ts'].map((file) => readFile(join(home, file), 'utf8'));
  types = (await Promise.all(sources)).join('\n');
});

afterAll(() => code.remove());

/** The rows of the table that begins with this column, as cells. */
function rows(column: string): string[][] {
  const [, table = ''] = text.match(new RegExp(`^\\| ${column} \\|.*\\n\\|[-|]+\\n((?:\\|.*\\n)+)`, 'm')) ?? [];
  const cells = (row: string) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim());
  return table.trim().split('\n').map(cells);
}

const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

/** The fields of an interface, and of those that it extends. */
function fieldsOf(name: string): string[] {
  const [, bases, body = ''] =
    types.match(new RegExp(`^export interface ${name}(?: extends (.+))? \\{\\n([\\s\\S]*?)^\\}`, 'm')) ?? [];
  const own = [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, field = '']) => field);
  return [...own, ...(bases === undefined ? [] : bases.split(', ').flatMap(fieldsOf))];
}

/** The interfaces of the events, by their type. */
function events(): Map<string, string> {
  const found = types.matchAll(/^export interface (\w+Event)(?: extends .+)? \{\n {2}readonly type: '(\w+)'/gm);
  return new Map([...found].map(([, name = '', type = '']) => [type, name]));
}

describe('the page of events and metrics', () => {
  it('has each event, its channel and its fields', () => {
    const all = events();
    expect(all.size).toBe(13);
    const expected = [...all].map(([type, name]) => [
      type,
      `sluice.${type}`,
      fieldsOf(name)
        .filter((field) => field !== 'type')
        .sort(),
    ]);
    const shown = rows('event').map(([event, channel, fields]) => [
      ...quoted(event),
      ...quoted(channel),
      quoted(fields).sort(),
    ]);
    expect(shown.sort()).toEqual(expected.sort());
  });

  it('says of each metric which event it comes from, unless it is of the process', () => {
    const fed = rows('event').flatMap(([, , , metrics]) => quoted(metrics));
    const ofServers = instruments.map(({ name }) => name).filter((name) => !name.startsWith('nodejs.'));
    expect([...new Set(fed)].sort()).toEqual(ofServers.sort());
  });

  it('has each metric as the tables of instruments have it', () => {
    const expected = instruments.map((one) => {
      const attributes = one.attributes.map((name) => `\`${name}\``).join(', ') || 'none';
      return [
        `\`${one.name}\``,
        `\`${prometheusName(one)}\``,
        one.kind,
        `\`${one.unit}\``,
        attributes,
        one.description,
      ];
    });
    expect(rows('metric')).toEqual(expected);
  });

  it('has programs that the compiler accepts, and that run to their end', async () => {
    expect(code.programs).toHaveLength(4);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
    expect(await code.run(0, 1, 2, 3)).toMatchObject({ code: 0, output: expect.stringContaining('drained') });
  });

  it('names files that exist', () => {
    const files = quoted(text.replace(/^```[\s\S]*?^```/gm, '')).filter((name) => /^[\w/]+\.ts$/.test(name));
    expect(files.length).toBeGreaterThan(3);
    expect(files.filter((file) => !existsSync(join(home, 'lib', file)))).toEqual([]);
  });

  it('has queries and alerts on metrics and labels that exist', () => {
    const parts = (one: (typeof instruments)[number]) =>
      one.kind === 'histogram'
        ? ['_bucket', '_sum', '_count'].map((part) => prometheusName(one) + part)
        : [prometheusName(one)];
    const names = new Set(instruments.flatMap(parts));
    const labels = new Set([
      'server_address',
      'server_port',
      'le',
      ...instruments.flatMap((one) => one.attributes.map(sanitized)),
    ]);
    const rules = parse(block('yaml')).groups.flatMap(({ rules }: { rules: { expr: string }[] }) => rules);
    const code = [block('promql'), ...rules.map(({ expr }: { expr: string }) => expr)].join('\n').replace(/#.*/g, '');
    const used = code.match(/\b(sluice|nodejs)_\w+/g) ?? [];
    expect(used.length).toBeGreaterThan(15);
    expect(used.filter((name) => !names.has(name) && !labels.has(name))).toEqual([]);
    const others = [...code.matchAll(/(?:by|without|ignoring) \(([^)]+)\)|\{(\w+)/g)].flatMap(([, list, one = '']) =>
      (list ?? one).split(', '),
    );
    expect(others.filter((name) => !labels.has(name))).toEqual([]);
  });

  describe.skipIf(skippedWithout('the alerts and the metrics are', { promtool: '--version' }))(
    'as promtool reads it',
    () => {
      const promtool = (args: readonly string[], input = '') => {
        const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
        return { status, output: stdout + stderr };
      };

      it('has queries and alerts that it accepts', async () => {
        const queries = block('promql')
          .split('\n\n')
          .map((query, i) => `  - record: query${i}\n    expr: |\n${query.replace(/^/gm, '      ')}`);
        const folder = await mkdtemp(join(tmpdir(), 'sluice-rules-'));
        const file = join(folder, 'rules.yml');
        for (const rules of [block('yaml'), `groups:\n- name: queries\n  rules:\n${queries.join('\n')}\n`]) {
          await writeFile(file, rules);
          expect(promtool(['check', 'rules', file])).toMatchObject({
            status: 0,
            output: expect.stringContaining('SUCCESS'),
          });
        }
        await rm(folder, { recursive: true });
      });

      it('has metrics on whose names and page it has nothing to say', async () => {
        const server = await MeasuredServer.open((client) => client);
        (await server.connect()).end();
        await server.clock.settle();
        const shown = await server.registry.metrics();
        server.end();
        expect(promtool(['check', 'metrics'], shown)).toEqual({ status: 0, output: '' });
      });
    },
  );
});

it('the reasons of refusals that are counted from the beginning are those that the library gives', () => {
  const [, union = ''] = types.match(/^export type RefusalReason =\n([\s\S]*?);$/m) ?? [];
  const reasons = [...union.matchAll(/'([\w-]+)'/g)].map(([, reason = '']) => reason);
  expect(refusalReasons).toEqual(reasons);
});

/** The text of the block of code in this language. */
function block(language: string): string {
  const [, found = ''] = text.match(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm')) ?? [];
  expect(found).not.toBe('');
  return found;
}
