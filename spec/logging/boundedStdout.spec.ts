import { type ChildProcess, execFile, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { client, closeClients } from '../support/client.ts';

const program = fileURLToPath(new URL('../support/programs/logged.ts', import.meta.url));
const running = new Set<ChildProcess>();
/** Lines of 200 bytes. */
const MANY = 10_000;

let folder: string;
/** The ends of a pipe, opened separately, because Node makes the end that a child inherits blocking. */
let reading: number;
let pipe: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-stdout-'));
  const path = join(folder, 'pipe');
  await promisify(execFile)('mkfifo', [path]);
  reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  pipe = openSync(path, constants.O_WRONLY);
});

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
  closeClients();
  readAll();
});

afterAll(async () => {
  closeSync(reading);
  closeSync(pipe);
  await rm(folder, { recursive: true });
});

function start(stdout: 'pipe' | number, ...args: string[]): ChildProcess {
  const stdio: StdioOptions = ['ignore', stdout, 'inherit'];
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], { stdio });
  running.add(child);
  child.on('exit', () => running.delete(child));
  return child;
}

/** Reads what is in the pipe now. */
function readAll(): string {
  const chunk = Buffer.alloc(64 * 1024);
  let text = '';
  try {
    for (;;) text += chunk.toString('latin1', 0, readSync(reading, chunk));
  } catch {
    return text;
  }
}

/** Reads the pipe until a text was read, or without one until the process has exited. */
async function readUntil(child: ChildProcess, wanted?: string): Promise<string> {
  let text = '';
  for (;;) {
    const ended = child.exitCode !== null || child.signalCode !== null;
    text += readAll();
    if (ended || (wanted !== undefined && text.includes(wanted))) return text;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** How many lines were written, and how many were dropped between them. */
function account(text: string): { written: number; dropped: number } {
  let written = 0;
  let dropped = 0;
  for (const line of text.split('\n').slice(0, -1)) {
    if (line.startsWith('{')) dropped += JSON.parse(line).dropped;
    else expect(line).toBe(String(dropped + written++).padEnd(199, '.'));
  }
  return { written, dropped };
}

describe('boundedStdout', () => {
  it('neither blocks a server whose pipe is full, nor its exit on a signal', async () => {
    const child = start(pipe);
    const [first = ''] = (await readUntil(child, '\n')).split('\n');
    const { port } = JSON.parse(first).address;
    for (let i = 0; i < 500; i++) {
      const one = await client(port).write('hello\n').end().whenClosed();
      expect([i, one.text]).toEqual([i, 'hello\n']);
    }
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(readAll()).not.toContain('"type":"drained"');
  });

  it('writes the report of the drain if the pipe is read', async () => {
    const child = start(pipe);
    await readUntil(child, '\n');
    child.kill('SIGTERM');
    const log = await readUntil(child);
    expect(JSON.parse(log.trim().split('\n').at(-1) ?? '')).toMatchObject({ type: 'drained', level: 30 });
  });

  it.each<[string, () => 'pipe' | number]>([
    ['a socket', () => 'pipe'],
    ['a pipe', () => pipe],
  ])('does not keep the process alive if its output is not read: %s', async (_what, stdout) => {
    const child = start(stdout(), String(MANY));
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('writes or reports as dropped each line, while the pipe is read slowly', async () => {
    const child = start(pipe, String(MANY));
    const text = await readUntil(child);
    const { written, dropped } = account(text);
    expect(written + dropped).toBe(MANY);
    expect(text.endsWith('\n')).toBe(true);
  });

  it('writes all lines to a file', async () => {
    const path = join(folder, 'file');
    const file = openSync(path, 'w');
    const child = start(file, String(MANY));
    expect(await once(child, 'exit')).toEqual([0, null]);
    closeSync(file);
    expect(account(await readFile(path, 'latin1'))).toEqual({ written: MANY, dropped: 0 });
  });
});
