import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readEntries } from './support/entries.ts';
import { circlesIn, importsIn, importsOf } from './support/imports.ts';

/**
 * The layers of `lib`, the lowest first: the files of each, and the layers that these may import from besides their own. A layer
 * names only layers of lines above its own; therefore no import leads to a higher layer. The longest path that fits a file
 * decides: `transport/transport.ts` belongs to the base, because every layer uses its types; the files beside it implement them.
 */
const table = `
  base          | address.ts channels.ts connectionView.ts errors.ts events.ts linkedSet.ts options.ts queue.ts serverRuns.ts table.ts time/ transport/transport.ts transport/noHandler.ts proxyProtocol/header.ts |
  transport     | transport/     | base
  proxyProtocol | proxyProtocol/ | base
  tls           | tls/           | base transport
  logging       | logging/       | base
  testing       | testing/       | base
  admin         | admin/         | base
  connection    | connection/    | base transport tls
  framing       | framing/       | base connection
  deadline      | deadline/      | base connection
  flow          | flow/          | base connection
  listen        | listen/        | base connection proxyProtocol tls
  connect       | connect/       | base connection proxyProtocol tls
  shutdown      | shutdown/      | base connection listen
  metrics       | metrics/       | base connection
  prometheus    | prometheus/    | base metrics
  opentelemetry | opentelemetry/ | base connection flow metrics
  serve         | serve.ts       | base connection listen flow shutdown
  index         | index.ts       | base transport proxyProtocol tls logging connection framing deadline flow listen connect shutdown serve
`;

const layers = table
  .trim()
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([name = '', holds = '', sees = '']) => ({ name, holds: words(holds), sees: words(sees) }));

/** What a demo may import of `lib`: the entries of the package, so that the code of a demo works for a user as it is. */
const entries = (await readEntries()).map(({ path }) => `lib/${path}.ts`);

const [lib, demos] = await Promise.all([importsOf('lib'), importsOf('demos')]);

describe('the reader of imports', () => {
  it('finds each kind of import once, and no text that only looks like one', () => {
    const text = `
import './effect.ts';
import { one } from './one.ts';
import type { Two } from '../two.ts';
import {
  three,
  type Four,
} from "./layers/three.ts";
import rxjs from 'rxjs';
export * from './one.ts';
export type { Five } from './five.ts';
export const six = './no.ts';
/**
 * import { seven } from './no.ts';
 */
// import './no.ts';
const eight: import('./eight.ts').Eight = await import('./nine.ts');
`;
    const names = ['effect', 'one', '../two', 'layers/three', 'five', 'eight', 'nine'];
    expect(importsIn('lib/layer/file.ts', text)).toEqual(
      names.map((name) => (name === '../two' ? 'lib/two.ts' : `lib/layer/${name}.ts`)),
    );
  });

  it.each([
    ['no circle in a chain', 'a-b b-c c-d b-d', []],
    ['a circle of two files', 'a-b b-c c-d d-c', ['c-d-c']],
    ['of each file the shortest circle', 'a-b b-c b-d c-d d-b', ['b-d-b', 'c-d-b-c']],
    ['two circles without a common file', 'a-b b-a b-c c-d d-c', ['a-b-a', 'c-d-c']],
  ])('finds %s', (_what, drawn, circles) => {
    const arrows = drawn.split(' ').map((arrow) => arrow.split('-'));
    const names = [...new Set(arrows.flat())];
    const imports = new Map(names.map((name) => [name, arrows.flatMap(([a, b = '']) => (a === name ? [b] : []))]));
    expect(circlesIn(imports).map((circle) => circle.join('-'))).toEqual(circles);
  });

  it.each([
    ['lib', lib],
    ['demos', demos],
  ])('reads imports of %s that all lead to a file', (_folder, imports) => {
    const targets = [...imports.values()].flat();
    expect(targets.length).toBeGreaterThan(imports.size);
    expect(targets.filter((path) => !existsSync(fileURLToPath(new URL(`../${path}`, import.meta.url))))).toEqual([]);
  });
});

describe('the table of layers', () => {
  it('lets no layer import from one in a line below its own', () => {
    const above = new Set<string>();
    for (const { name, sees } of layers) {
      expect([name, sees.filter((layer) => !above.has(layer))]).toEqual([name, []]);
      above.add(name);
    }
  });

  it('has a place for each file of lib, and no place without a file', () => {
    const files = [...lib.keys()];
    expect(files.filter((file) => layerOf(file) === undefined)).toEqual([]);
    const places = layers.flatMap(({ holds }) => holds);
    expect(places.filter((place) => !files.some((file) => file.startsWith(`lib/${place}`)))).toEqual([]);
  });
});

describe('CONTRIBUTING.md', () => {
  const text = readFileSync(fileURLToPath(new URL('../CONTRIBUTING.md', import.meta.url)), 'utf8');
  const [, drawing = ''] = /From the top down:\n\n```text\n(.*?)```/s.exec(text) ?? [];
  const rows: string[][] = drawing.split('\n').map((line) => line.match(/(?<!\S)[\w/]+(?:\.ts|\/)(?!\S)/g) ?? []);

  it('draws each layer, with all its files', () => {
    expect(rows.flat().sort()).toEqual(layers.flatMap(({ holds }) => holds).sort());
  });

  it('draws each layer above those that it imports from', () => {
    const rowOf = ({ holds }: (typeof layers)[number]) => rows.findIndex((row) => row.includes(holds[0] ?? ''));
    for (const layer of layers) {
      const seen = layers.filter(({ name }) => layer.sees.includes(name));
      expect([layer.name, seen.filter((one) => rowOf(one) <= rowOf(layer))]).toEqual([layer.name, []]);
    }
  });
});

it('an optional peer is imported in the folder that is for it, and nowhere else', async () => {
  const folders = { 'prom-client': 'lib/prometheus/', '@opentelemetry/api': 'lib/opentelemetry/' };
  for (const [peer, folder] of Object.entries(folders)) {
    const users = [...lib.keys()].filter((file) =>
      readFileSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), 'utf8').includes(`from '${peer}'`),
    );
    expect([peer, users.filter((file) => !file.startsWith(folder))]).toEqual([peer, []]);
    expect(users).not.toEqual([]);
  }
});

it('no import of lib leads to a layer above or beside its own', () => {
  const wrong = [...lib].flatMap(([file, imports]) => {
    const layer = layerOf(file);
    const others = imports.filter((path) => {
      const { name = '' } = layerOf(path) ?? {};
      return name !== layer?.name && !layer?.sees.includes(name);
    });
    const law = `${layer?.name} may import from ${layer?.sees.join(', ') || 'no other layer'}`;
    return others.map((path) => `${file} imports ${path}: ${law}`);
  });
  expect(wrong).toEqual([]);
});

it.each([
  ['lib', lib],
  ['demos', demos],
])('no files of %s import each other in a circle', (_, imports) => {
  expect(circlesIn(imports).map((circle) => circle.join(' → '))).toEqual([]);
});

it('a demo imports of lib only what the package exports', () => {
  const wrong = [...demos].flatMap(([file, imports]) => {
    const inside = imports.filter((path) => path.startsWith('lib/') && !entries.includes(path));
    return inside.map((path) => `${file} imports ${path}`);
  });
  expect(wrong).toEqual([]);
});

/** The layer with the longest path that leads to the file. */
function layerOf(file: string) {
  const places = layers.flatMap((layer) => layer.holds.map((place) => ({ layer, path: `lib/${place}` })));
  const fitting = places.filter(({ path }) => file.startsWith(path));
  return fitting.sort((a, b) => b.path.length - a.path.length)[0]?.layer;
}

function words(cell: string): string[] {
  return cell.split(' ').filter((word) => word !== '');
}
