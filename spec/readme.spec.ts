import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as library from '../lib/index.ts';
import { client, closeClients } from './support/client.ts';
import { libraryOptions } from './support/libraryOptions.ts';
import { home, PageCode } from './support/page.ts';

const guides = [
  'lib/FIRST.md',
  'lib/FROM-NESTJS.md',
  'lib/FROM-NET.md',
  'lib/admin/ADMIN.md',
  'lib/deadline/DEADLINES.md',
  'lib/flow/BACKPRESSURE.md',
  'lib/flow/CONTEXT.md',
  'lib/framing/DECODERS.md',
  'lib/framing/PROTOCOL.md',
  'lib/listen/TABLE.md',
  'lib/shutdown/DRAINING.md',
  'lib/testing/TESTING.md',
  'lib/tls/TLS.md',
];
const pages = [
  'README.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'demos/README.md',
  'demos/deploy/README.md',
  ...guides,
];
const readme = await readFile(join(home, 'README.md'), 'utf8');

let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of('README.md');
});

afterAll(async () => {
  closeClients();
  await code.remove();
});

describe('the README', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs.length).toBeGreaterThanOrEqual(4);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('shows what the smallest server prints', async () => {
    const shown =
      readme
        .match(/^```json\n([\s\S]*?)^```$/m)?.[1]
        ?.trim()
        .split('\n') ?? [];
    const child = spawn(process.execPath, ['--import', 'tsx', '0.ts'], {
      cwd: code.folder,
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
      // The address for all interfaces is `::` or `0.0.0.0`, depending on the machine.
      const address = { address: '::', port: 7000 };
      Object.assign(event, { address, transport: 'handle', msg: event.msg.replace(/\S+$/, '[::]:7000') });
    }
    const [, note = ''] = readme.match(/^\((.*) are left out here\.\)$/m) ?? [];
    const leftOut = [...note.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
    expect(leftOut.length).toBeGreaterThan(0);
    for (const event of printed) for (const name of leftOut) delete event[name];
    expect(printed).toEqual(shown.map((line) => JSON.parse(line)));
  });

  it('has a test on virtual time that passes', async () => {
    const index = code.programs.findIndex((program) => program.includes('sluice/testing'));
    expect(await code.run(index)).toEqual({ code: 0, output: '' });
  });

  it('names files that exist', () => {
    const files = [...readme.matchAll(/`((?:lib|demos)\/[^`]+\.\w+)`/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(25);
    expect(files.filter((file) => !existsSync(join(home, file)))).toEqual([]);
  });

  it('names the releases of Node that CI runs, and no others', async () => {
    const ci = await readFile(join(home, '.ci/run'), 'utf8');
    const [, others = ''] = ci.match(/^for release in 20\.19\.0 (.*); do$/m) ?? [];
    const named = readme.match(/^\| Node\.js 20 \(from 20\.19\), ([\d, ]+) \|/m)?.[1]?.split(', ');
    expect(named).toEqual(others.split(' '));
    const { engines } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'));
    expect(engines).toEqual({ node: '>=20.19' });
  });

  it('lists every option with its default', async () => {
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

it('the promises in SECURITY.md name options and functions that exist', async () => {
  const text = await readFile(join(home, 'SECURITY.md'), 'utf8');
  const table = text.slice(text.indexOf('| a peer cannot'), text.indexOf('A handler that awaits'));
  const names = [...table.matchAll(/`([\w.]+)`/g)].map(([, name = '']) => name);
  const options = (await libraryOptions()).flatMap(({ name }) => [name, name.split('.')[0]]);
  const known = new Set([...options, ...Object.keys(library), 'maxLength', 'exhausted']);
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !known.has(name))).toEqual([]);
});

it.each(pages)('every link of %s leads to a file, and to a heading where it names one', async (page) => {
  const text = await readFile(join(home, page), 'utf8');
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]*)#?([^)]*)\)/g)];
  const missing: string[] = [];
  for (const [, link = '', heading = ''] of links) {
    const target = link === '' ? join(home, page) : join(home, page, '..', link);
    const exists =
      existsSync(target) && (heading === '' || anchorsOf(await readFile(target, 'utf8')).includes(heading));
    if (!exists) missing.push(`${link}#${heading}`);
  }
  expect(missing).toEqual([]);
});

/** The anchors that the headings of a page have on GitHub. */
function anchorsOf(markdown: string): string[] {
  const headings = [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) => text);
  return headings.map((text) =>
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
