import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { home, PageCode } from '../support/page.ts';

const page = 'lib/shutdown/DRAINING.md';

let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of(page);
});

afterAll(() => code.remove());

describe('the guide on draining', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(4);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('has a server that drains on SIGTERM, and whose process exits with 0', async () => {
    const server = spawn(process.execPath, ['--import', 'tsx', '0.ts'], { cwd: code.folder });
    const exit = new Promise((resolve) => server.on('exit', (...outcome) => resolve(outcome)));
    const types: unknown[] = [];
    for await (const line of createInterface(server.stdout)) {
      const { type } = JSON.parse(line);
      types.push(type);
      if (type === 'listening') server.kill('SIGTERM');
    }
    expect(types).toEqual(['listening', 'draining', 'drained']);
    expect(await exit).toEqual([0, null]);
  });

  it('has programs whose assertions hold', async () => {
    expect(await code.run(2, 3)).toEqual({ code: 0, output: '' });
  });

  it('names files that exist', async () => {
    const guide = await readFile(join(home, page), 'utf8');
    const files = [...guide.matchAll(/`([\w/]+\.ts)`/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((file) => !existsSync(join(home, 'lib', file)))).toEqual([]);
  });
});
