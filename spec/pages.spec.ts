import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { onAnyPort } from './api/examples.ts';
import { Programs } from './api/programs.ts';
import { home } from './support/page.ts';

/** A program of a page. */
interface Program {
  /** The page and the number of the program. */
  readonly name: string;
  readonly code: string;
}

let programs: Program[];
let all: Programs;

beforeAll(async () => {
  const files = await readdir(join(home, 'lib'), { recursive: true });
  const guides = files.filter((name) => name.endsWith('.md')).map((name) => `lib/${name}`);
  const pages = ['README.md', ...guides.sort()];
  programs = (await Promise.all(pages.map(programsOf))).flat();
  all = await Programs.of(programs.map(({ code }) => ({ code, prints: 0 })));
});

afterAll(() => all.remove());

async function programsOf(page: string): Promise<Program[]> {
  const text = await readFile(join(home, page), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = ''], i) => ({
    name: `${page}, ${i}`,
    code: onAnyPort(code.replace("from 'sluice'", "from './world.ts'")),
  }));
}

it('the programs of the README and of all guides are accepted by the compiler, begin, and serve a client', async () => {
  expect(await all.compile()).toEqual({ code: 0, output: '' });
  const runs = await all.run();
  expect(runs.length).toBeGreaterThan(20);
  const failed = runs.map(({ failures }, i) => ({ name: programs[i]?.name, failures }));
  expect(failed.filter(({ failures }) => failures.length > 0)).toEqual([]);
});
