import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { client, closeClients } from './support/client.ts';
import { libraryOptions } from './support/libraryOptions.ts';

const home = fileURLToPath(new URL('..', import.meta.url));
const guides = ['lib/flow/BACKPRESSURE.md', 'lib/testing/TESTING.md'];
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'demos/README.md', ...guides];
const readme = await readFile(join(home, 'README.md'), 'utf8');
const programs = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);

/** A folder of its own outside of the repository, where `sluice` is the library's source. */
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-readme-'));
  await symlink(join(home, 'node_modules'), join(folder, 'node_modules'));
  const paths = { sluice: [join(home, 'lib/index.ts')], 'sluice/testing': [join(home, 'lib/testing/index.ts')] };
  const options = { compilerOptions: { paths, rootDir: '/' }, extends: join(home, 'tsconfig.json'), include: ['*.ts'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  await Promise.all(
    programs.map((code, i) => writeFile(join(folder, `${i}.ts`), code.replace('port: 7000', 'port: 0'))),
  );
});

afterAll(async () => {
  closeClients();
  await rm(folder, { recursive: true });
});

async function run(command: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  await once(child, 'close');
  return { code: child.exitCode, output };
}

describe('the README', () => {
  it('has programs that the compiler accepts', async () => {
    expect(programs.length).toBeGreaterThanOrEqual(4);
    const tsc = join(home, 'node_modules/.bin/tsc');
    expect(await run(tsc, ['--noEmit', '-p', folder])).toEqual({ code: 0, output: '' });
  });

  it('tells what the smallest server prints', async () => {
    const told =
      readme
        .match(/^```json\n([\s\S]*?)^```$/m)?.[1]
        ?.trim()
        .split('\n') ?? [];
    const child = spawn(process.execPath, ['--import', 'tsx', '0.ts'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const printed: Record<string, unknown>[] = [];
    for await (const line of createInterface(child.stdout)) {
      const event = JSON.parse(line);
      printed.push(event);
      if (event.type === 'closed') child.kill('SIGINT');
      if (event.type !== 'listening') continue;
      const { port } = event.address;
      const one = client(port).write('hello\nworld\n').end();
      one.socket.on('close', () => expect(one.text).toBe('HELLO\nWORLD\n'));
      // It depends on the machine whether every address is `::` or `0.0.0.0`.
      Object.assign(event, { address: { address: '::', port: 7000 }, msg: event.msg.replace(/\S+$/, '[::]:7000') });
    }
    const [, note = ''] = readme.match(/^\((.*) are left out here\.\)$/m) ?? [];
    const leftOut = [...note.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
    expect(leftOut.length).toBeGreaterThan(0);
    for (const event of printed) for (const name of leftOut) delete event[name];
    expect(printed).toEqual(told.map((line) => JSON.parse(line)));
  });

  it('has a test on virtual time that passes', async () => {
    const index = programs.findIndex((code) => code.includes('sluice/testing'));
    expect(await run(process.execPath, ['--import', 'tsx', `${index}.ts`])).toEqual({ code: 0, output: '' });
  });

  it('names every option with its default', async () => {
    const rows = new Map(
      [...readme.matchAll(/^\| `([\w.]+)` \| (.+?) \|/gm)].map(([, name, preset]) => [name, preset]),
    );
    const options = await libraryOptions();
    expect(options.length).toBeGreaterThan(20);
    for (const { name, preset } of options) {
      expect([name, rows.get(name)?.replaceAll('`', '')]).toEqual([name, preset || 'none']);
    }
    expect([...rows.keys()].filter((name) => !options.some((option) => option.name === name))).toEqual([]);
  });
});

it.each(pages)('every link of %s leads somewhere', async (page) => {
  const text = await readFile(join(home, page), 'utf8');
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link = '']) => link);
  const missing = links.filter((link) => !existsSync(join(home, page, '..', link)));
  expect(missing).toEqual([]);
});
