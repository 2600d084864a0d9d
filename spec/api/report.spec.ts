import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { expect, it } from 'vitest';
import { pathOf, reports } from './report.ts';

it('the reports of the public API are those of the code: after a change run `npm run api`, and review what it changes', async () => {
  const current = await reports();
  for (const [entry, text] of current) {
    const kept = await readFile(pathOf(entry), 'utf8').catch(() => `${pathOf(entry)} is missing`);
    expect(kept).toBe(text);
  }
  const files = (await readdir(new URL('.', import.meta.url))).filter((name) => name.endsWith('.api.md'));
  expect(files.sort()).toEqual([...current.keys()].map((entry) => basename(pathOf(entry))).sort());
});
