import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { libraryOptions } from '../support/libraryOptions.ts';
import { home, PageCode } from '../support/page.ts';

const page = 'lib/listen/OVERLOAD.md';
const guide = await readFile(join(home, page), 'utf8');

let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of(page);
});

afterAll(() => code.remove());

/** The items of the sentence that begins with a text: what is in backticks. */
function namesAfter(beginning: string): string[] {
  const from = guide.indexOf(beginning);
  const text = guide.slice(from, guide.indexOf('\n\n', from));
  return [...text.matchAll(/`([\w.]+)`/g)].map(([, name = '']) => name);
}

describe('the guide on overload', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(3);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('lists each option that takes an Observable, and only options that exist', async () => {
    const sources = ['lib/serve.ts', 'lib/listen/listenOptions.ts'].map((file) => readFile(join(home, file), 'utf8'));
    const text = (await Promise.all(sources)).join('\n');
    const live = [...text.matchAll(/readonly (\w+)\??: Live</g)].map(([, name]) => name);
    const named = namesAfter('These options take a value or an Observable');
    expect(named.map((name) => name.split('.').at(-1)).sort()).toEqual(live.sort());
    const options = (await libraryOptions()).map(({ name }) => name);
    expect(named.filter((name) => !options.includes(name) && name !== 'accepts.perAddress.perSecond')).toEqual([]);
  });

  it('has a row for each reason of a refusal at accept', async () => {
    const admission = await readFile(join(home, 'lib/listen/admission.ts'), 'utf8');
    const rates = await readFile(join(home, 'lib/listen/acceptRates.ts'), 'utf8');
    const reasons = [...`${admission}${rates}`.matchAll(/(?:\? |(?<!type): |return )'([a-z-]+)'/g)].map(
      ([, reason]) => reason,
    );
    expect(new Set(reasons).size).toBeGreaterThan(5);
    for (const reason of new Set(reasons)) expect(guide).toContain(`| \`${reason}\` |`);
  });
});
