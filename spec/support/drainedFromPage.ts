import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { ask } from './adminPort.ts';
import { PATIENCE } from './waitable.ts';

/** `signals()` takes signals for one that are less than a quarter of a second apart. */
const APART = 300;

/** How it went. */
export interface Drained {
  /** What the client has received. */
  readonly received: string;
  /** The report of the server. */
  readonly report: { drained: number; aborted: number };
}

/**
 * Drains a program that echoes lines from its admin port while a client has sent half a line, and sends a signal to it; and the
 * rest of the line, or further signals.
 *
 * @param program It prints its events as JSON.
 */
export async function drainedFromPage(program: ChildProcess, then: 'finish' | 'more signals'): Promise<Drained> {
  if (program.stdout === null) throw new Error('There is no output');
  // biome-ignore lint/suspicious/noExplicitAny: it is what a program has printed.
  const printed: any[] = [];
  createInterface(program.stdout).on('line', (line) => printed.push(JSON.parse(line)));
  const find = async (is: (one: (typeof printed)[number]) => boolean) => {
    await expect.poll(() => printed.some(is), { timeout: PATIENCE }).toBe(true);
    return printed.find(is);
  };
  const { url, token } = await find((one) => one.token !== undefined);
  const { address } = await find(({ type, token }) => type === 'listening' && token === undefined);
  const adminPort = Number(new URL(url).port);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const drain = () => ask(adminPort, '/drain', { method: 'POST', headers, body: '{}' });

  let received = '';
  const client = connect({ port: address.port, host: '127.0.0.1' });
  client.on('error', () => {});
  client.setEncoding('utf8').on('data', (text) => {
    received += text;
  });
  client.write('half a line');
  const rows = async () => JSON.parse((await ask(adminPort, '/connections', { headers })).text);
  await expect.poll(rows, { timeout: PATIENCE }).toMatchObject([{ bytesIn: 11 }]);
  expect(await drain()).toMatchObject({ status: 202 });
  await delay(APART);
  program.kill('SIGTERM');
  // The signal was handled before the second of these requests.
  expect([(await drain()).status, (await drain()).status]).toEqual([409, 409]);
  const exit = once(program, 'exit');
  if (then === 'finish') client.write(' and the rest\n');
  const more = then === 'finish' ? undefined : setInterval(() => program.kill('SIGTERM'), APART);
  await exit;
  clearInterval(more);
  client.destroy();
  const report = await find(({ type }) => type === 'drained');
  return { received, report };
}
