import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LONGEST } from '../../lib/admin/actions.ts';
import { limitKinds } from '../../lib/admin/options.ts';
import { pagePaths } from '../../lib/admin/pageFiles.ts';
import { routes } from '../../lib/admin/routes.ts';
import { ask } from '../support/adminPort.ts';
import { drainedFromPage } from '../support/drainedFromPage.ts';
import { home, PageCode } from '../support/page.ts';

const page = 'lib/admin/ADMIN.md';
const guide = await readFile(join(home, page), 'utf8');

let code: PageCode;
beforeAll(async () => {
  code = await PageCode.of(page);
});
afterAll(() => code.remove());

describe('the guide on the admin port', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(2);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('has a server that prints its admin page, is ready, and can be drained from there', async () => {
    const server = spawn(process.execPath, ['--import', 'tsx', '0.ts'], { cwd: code.folder });
    const exit = new Promise((resolve) => server.on('exit', (...outcome) => resolve(outcome)));
    const types: string[] = [];
    for await (const line of createInterface(server.stdout)) {
      const { type, token, address } = JSON.parse(line);
      types.push(type);
      if (token === undefined) continue;
      expect(await ask(address.port, '/readyz')).toMatchObject({ status: 200 });
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      expect(await ask(address.port, '/drain', { method: 'POST', headers, body: '{}' })).toMatchObject({ status: 202 });
    }
    expect(types.sort()).toEqual(['action', 'drained', 'draining', 'listening', 'listening']);
    expect(await exit).toEqual([0, null]);
  });

  it('goes on draining at a signal after a drain from the page, which a supervisor may send', async () => {
    const server = spawn(process.execPath, ['--import', 'tsx', '0.ts'], { cwd: code.folder });
    expect(await drainedFromPage(server, 'finish')).toMatchObject({
      received: 'half a line and the rest\n',
      report: { drained: 1, aborted: 0 },
    });
  });

  it('aborts at the second signal after a drain from the page', async () => {
    const server = spawn(process.execPath, ['--import', 'tsx', '0.ts'], { cwd: code.folder });
    expect(await drainedFromPage(server, 'more signals')).toMatchObject({
      received: '',
      report: { drained: 0, aborted: 1 },
    });
  });

  it('lists every path, and whether it needs the token', () => {
    const listed = [...guide.matchAll(/^\| `(GET|POST) (\/[\w/]*)` \| (yes|no) \|/gm)].map(([, ...cells]) => cells);
    const files = pagePaths.filter((path) => path !== '/');
    const all = [...routes].filter(([path]) => !files.includes(path));
    const known = all.map(([path, { method, access }]) => [method, path, access === 'token' ? 'yes' : 'no']);
    expect(listed.sort()).toEqual(known.sort());
  });

  it('lists every limit that can be moved', () => {
    const [, listed = ''] =
      /under the name of the option: ([\s\S]*?)\./.exec(
        guide.replace(/`([\w.]+)`/g, (_, name) => `\`${name.replaceAll('.', '#')}\``),
      ) ?? [];
    const names = [...listed.matchAll(/`([\w#]+)`/g)].map(([, name = '']) => name.replaceAll('#', '.'));
    expect(names).toEqual(Object.keys(limitKinds));
    expect(LONGEST).toBe(200);
  });

  it('names files that exist', () => {
    const files = [...guide.matchAll(/`(\w+(?:\.spec)?\.ts)`/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(1);
    const folder = (file: string) => (file.includes('.spec.') ? 'spec/admin' : 'lib/admin');
    expect(files.filter((file) => !existsSync(join(home, folder(file), file)))).toEqual([]);
  });
});
