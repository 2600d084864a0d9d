import 'reflect-metadata';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClientProxyFactory, Transport } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { client, closeClients } from './support/client.ts';
import { freePort } from './support/freePort.ts';
import { home, PageCode } from './support/page.ts';

const running = new Set<ChildProcess>();

afterEach(() => {
  closeClients();
  for (const child of running) child.kill('SIGKILL');
  running.clear();
});

/** Runs a server of a page, and waits until it listens. */
async function start(code: PageCode, file: string): Promise<{ port: number; child: ChildProcess }> {
  for (;;) {
    const port = await freePort();
    const child = spawn(process.execPath, ['--import', 'tsx', file], {
      cwd: code.folder,
      env: { ...process.env, PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    const output = await whenListening(child);
    if (output === undefined) return { port, child };
    // Another process has taken the port meanwhile.
    if (!output.includes('EADDRINUSE')) throw new Error(output);
  }
}

/** Resolves with `undefined` once a program listens, and with what it printed if it ends before. */
function whenListening(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    let output = '';
    const read = (text: Buffer) => {
      output += text;
      if (output.includes('listening')) resolve(undefined);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.on('close', () => resolve(output));
  });
}

/** What a server replies to bytes that are followed by a FIN. */
async function replies(port: number, ...chunks: readonly string[]): Promise<string> {
  const one = client(port);
  for (const chunk of chunks) {
    // Each chunk is a packet of its own, as far as that can be told.
    await new Promise((resolve) => one.socket.write(chunk, resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await one.end().whenClosed();
  return one.text;
}

describe.each([
  ['lib/FIRST.md', 5],
  ['lib/framing/PROTOCOL.md', 4],
  ['lib/FROM-NET.md', 3],
  ['lib/FROM-NESTJS.md', 3],
])('%s', (page, files) => {
  let code: PageCode;

  beforeAll(async () => {
    code = await PageCode.of(page);
  });

  afterAll(() => code.remove());

  it('has programs that the compiler accepts', async () => {
    expect(code.files).toHaveLength(files);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('has a test that passes, if it has one', async () => {
    if (!code.files.includes('test.ts')) return;
    expect(await code.runFile('test.ts')).toEqual({ code: 0, output: '' });
  });

  it('shows what each server replies', async () => {
    const text = await readFile(join(home, page), 'utf8');
    const shown = [
      ...text.matchAll(/^```ts (\S+)\n(?:(?!^```ts)[\s\S])*?^```console\n\$ printf '(.*)' \| nc .*\n([\s\S]*?)^```$/gm),
    ];
    for (const [, file = '', sent = '', expected] of shown) {
      const { port } = await start(code, file);
      expect([file, await replies(port, sent.replaceAll('\\n', '\n'))]).toEqual([file, expected]);
    }
    expect(shown).toHaveLength(page === 'lib/FIRST.md' ? 4 : 0);
  });
});

it('the server of the guide on a protocol finishes a frame in a drain', async () => {
  const code = await PageCode.of('lib/framing/PROTOCOL.md');
  const { port, child } = await start(code, 'server.ts');
  const whole = Buffer.of(0, 8, 1, 2, 3, 4, 5, 6, 7, 8);
  // In one packet. So the part of the second frame has arrived when the first one is answered.
  const meter = client(port).write(Buffer.concat([Buffer.from('METER/1 attic\n'), whole, whole.subarray(0, 5)]));
  await meter.whenRead('OK\n\0\0\0\x01');
  child.kill('SIGTERM');
  // The port is closed when the drain has begun.
  for (let isOpen = true; isOpen; ) {
    const probe = client(port);
    await probe.until(({ connected, closed }) => connected || closed, 'an answer');
    isOpen = probe.connected;
    probe.socket.destroy();
  }
  meter.write(whole.subarray(5)).write(whole);
  await meter.whenClosed();
  expect(meter.text).toBe('OK\n\0\0\0\x01\0\0\0\x02');
  expect(await once(child, 'close')).toEqual([0, null]);
  await code.remove();
});

describe('the guide on the way from node:net', () => {
  it.each(['before.ts', 'after.ts', 'loop.ts'])('has in %s the same server', async (file) => {
    const code = await PageCode.of('lib/FROM-NET.md');
    const { port, child } = await start(code, file);
    const many = Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join('');
    expect(await replies(port, 'hel', 'lo\r\nwor', 'ld\nnot a line')).toMatch(/^HELLO\r?\nWORLD\n$/);
    expect(await replies(port, many)).toBe(many.toUpperCase());
    const silent = await client(port).whenConnected();
    const long = client(port).write('x'.repeat(100_000));
    await long.whenClosed();
    expect(long.text).toBe('');
    child.kill('SIGTERM');
    await silent.end().whenClosed();
    expect(silent.fault).toBeUndefined();
    expect(await once(child, 'close')).toEqual([0, null]);
    await code.remove();
  });
});

describe('the guide on the way from NestJS', () => {
  it('has two services that Nest’s client cannot tell apart', async () => {
    const code = await PageCode.of('lib/FROM-NESTJS.md');
    const conversations: unknown[] = [];
    for (const file of ['before.ts', 'after.ts']) {
      const { port, child } = await start(code, file);
      const proxy = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } });
      const ask = (pattern: string, data: unknown) =>
        firstValueFrom(proxy.send(pattern, data)).catch((error: unknown) => ({ error }));
      const names = ['Zoë', '😀 and 😀', '', '日本', 'x'.repeat(100_000)];
      const sums = Array.from({ length: 100 }, (_, i) => ask('sum', [i, 1, 2]));
      conversations.push({
        sums: await Promise.all(sums),
        greetings: await Promise.all(names.map((name) => ask('greet', name))),
        unknown: await ask('toString', 1),
      });
      proxy.close();
      child.kill('SIGTERM');
      await once(child, 'close');
    }
    const [before, after] = conversations;
    expect(before).toMatchObject({ sums: expect.arrayContaining([3, 102]), unknown: { error: expect.any(String) } });
    expect(after).toEqual(before);
    await code.remove();
  });
});
