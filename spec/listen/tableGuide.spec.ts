import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { home, PageCode } from '../support/page.ts';

const page = 'lib/listen/TABLE.md';

let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of(page);
});

afterAll(() => code.remove());

describe('the guide on the table of connections', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(3);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('has a program whose assertions hold', async () => {
    expect(await code.run(0)).toEqual({ code: 0, output: '' });
  });

  it('names files that exist', async () => {
    const guide = await readFile(join(home, page), 'utf8');
    const files = [...guide.matchAll(/`([\w/]+\.ts)`/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(2);
    expect(files.filter((file) => !existsSync(join(home, 'lib', file)))).toEqual([]);
  });
});
