import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { pagePaths } from '../../lib/admin/pageFiles.ts';
import { home } from '../support/page.ts';

const folder = join(home, 'lib/admin/page');

it('the scripts of the page are accepted by the compiler, as their comments type them', async () => {
  const args = ['--noEmit', '-p', folder];
  const { stdout } = await promisify(execFile)(join(home, 'node_modules/.bin/tsc'), args).catch((error) => error);
  expect(stdout).toBe('');
});

it('every file of the page is served', async () => {
  const files = (await readdir(folder)).filter((name) => name !== 'tsconfig.json');
  const served = pagePaths.map((path) => (path === '/' ? 'index.html' : path.slice(1)));
  expect(served.filter((name) => !name.startsWith('uplot.')).sort()).toEqual(files.sort());
});
