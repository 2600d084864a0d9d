import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asyncScheduler, type MonoTypeOperatorFunction, type SchedulerLike, Subject, timeout } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { idle } from '../../lib/index.ts';
import { libraryOptions } from '../support/libraryOptions.ts';
import { home, PageCode } from '../support/page.ts';

const page = 'lib/deadline/DEADLINES.md';
const guide = await readFile(join(home, page), 'utf8');
const rows = [...guide.matchAll(/^\| (.*?) \| (.*?) \| .*? \| `([\w/]+\.ts)` \|$/gm)].map(
  ([, name = '', setBy = '', file = '']) => ({ name, setBy, file }),
);

let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of(page);
});

afterAll(() => code.remove());

describe('the guide on deadlines', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(3);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('has programs whose assertions hold', async () => {
    expect(await code.run(0, 1, 2)).toEqual({ code: 0, output: '' });
  });

  it('names for each deadline a file that exists', () => {
    expect(rows.length).toBeGreaterThan(15);
    expect(rows.filter(({ file }) => !existsSync(join(home, 'lib', file)))).toEqual([]);
  });

  it('names every deadline that an error can name', async () => {
    const errors = await readFile(join(home, 'lib/errors.ts'), 'utf8');
    const [, union = ''] = errors.match(/^export type DeadlineName =([\s\S]*?);$/m) ?? [];
    const names = [...union.matchAll(/'(\w+)'/g)].map(([, name = '']) => name);
    expect(names).toContain('idle');
    expect(names.filter((name) => !rows.some((row) => row.name.includes(`\`${name}\``)))).toEqual([]);
  });

  it('gives options their defaults', async () => {
    const options = new Map((await libraryOptions()).map(({ name, preset }) => [name, preset]));
    const given = rows.flatMap(({ setBy }) => [...setBy.matchAll(/`([\w.]+)` \(`?([\w.]+)/g)]);
    const ours = given.filter(([, name = '']) => options.has(name));
    expect(ours.length).toBeGreaterThan(10);
    for (const [, name = '', preset] of ours) expect([name, preset]).toEqual([name, options.get(name)]);
  });

  it('counts the timers of ten thousand values', () => {
    const counts = [
      timersOf((scheduler) => idle(30_000, scheduler)),
      timersOf((scheduler) => timeout({ each: 30_000, scheduler })),
    ];
    expect(counts).toEqual([1, 10_001]);
    expect(guide).toContain('10 001 timers for ten thousand values');
  });
});

/** How many timers an operator uses for ten thousand values. */
function timersOf(operator: (scheduler: SchedulerLike) => MonoTypeOperatorFunction<number>): number {
  let timers = 0;
  const schedule: SchedulerLike['schedule'] = (...action: Parameters<SchedulerLike['schedule']>) => {
    timers++;
    return asyncScheduler.schedule(...action);
  };
  const values = new Subject<number>();
  const subscription = values.pipe(operator({ now: () => asyncScheduler.now(), schedule })).subscribe();
  for (let value = 0; value < 10_000; value++) values.next(value);
  subscription.unsubscribe();
  return timers;
}
