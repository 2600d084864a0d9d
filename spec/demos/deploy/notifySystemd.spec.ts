import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { client, closeClients } from '../../support/client.ts';
import { bundledServer, DeployedServer, endServers } from '../../support/deployed.ts';
import { skippedWithout } from '../../support/systemd/programs.ts';
import { PATIENCE, Waitable } from '../../support/waitable.ts';

const receiver = fileURLToPath(new URL('../../support/systemd/receiver.py', import.meta.url));

/** What systemd would receive. */
class Received extends Waitable {
  readonly messages: string[] = [];
  readonly #child: ChildProcess;
  isBound = false;

  constructor(path: string) {
    super();
    this.#child = spawn('python3', [receiver, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (!this.#child.stdout) throw new Error('Its output is piped');
    createInterface(this.#child.stdout).on('line', (line) => {
      const message: string = JSON.parse(line);
      if (message === 'bound') this.isBound = true;
      else if (message !== 'BARRIER=1') this.messages.push(message);
      this.changed();
    });
  }

  /** Waits for a message that begins like this. */
  when(start: string, count = 1): Promise<this> {
    return this.until(({ messages }) => messages.filter((one) => one.startsWith(start)).length >= count, start);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

describe.skipIf(skippedWithout('messages to systemd are', { 'systemd-notify': '--version', python3: '--version' }))(
  'a server under systemd',
  () => {
    let folder: string;
    let file: string;
    let received: Received;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'sluice-notify-'));
      file = join(folder, 'server.mjs');
      writeFileSync(file, await bundledServer());
      received = new Received(join(folder, 'notify'));
      await received.until(({ isBound }) => isBound);
    });
    afterEach(() => {
      closeClients();
      endServers();
      received.messages.length = 0;
    });
    afterAll(() => {
      received.stop();
      rmSync(folder, { recursive: true });
    });

    const start = (env: Readonly<Record<string, string>>) =>
      new DeployedServer([process.execPath, file], { PORT: '0', NOTIFY_SOCKET: join(folder, 'notify'), ...env });

    /** A folder with a program in the place of `systemd-notify`. @returns A PATH. */
    function instead(program: string): string {
      const bin = join(folder, 'bin');
      mkdirSync(bin, { recursive: true });
      writeFileSync(join(bin, 'systemd-notify'), `#!/bin/sh\n${program}\n`);
      chmodSync(join(bin, 'systemd-notify'), 0o755);
      return `${bin}:/usr/bin:/bin`;
    }

    it('says READY when it listens, then that it is alive, and STOPPING with the time of the drain', async () => {
      const server = start({ WATCHDOG_USEC: '300000', ANNOUNCE: '500', GRACE: '60000' });
      await received.when('WATCHDOG=1', 3);
      expect(received.messages.slice(0, 3)).toEqual(['READY=1\nSTATUS=listening', 'WATCHDOG=1', 'WATCHDOG=1']);
      const half = client(await server.whenListening()).write('hel');
      const other = client(await server.whenListening()).write('x\n');
      await other.whenRead('X\n');
      other.end();
      await other.whenClosed();
      server.child.kill('SIGTERM');
      await received.when('STOPPING=1');
      expect(received.messages.find((message) => message.startsWith('STOPPING'))).toBe(
        'STOPPING=1\nSTATUS=draining: 1 active, 0 waiting\nEXTEND_TIMEOUT_USEC=62500000',
      );
      // It is alive, as long as it drains.
      received.messages.length = 0;
      await received.when('WATCHDOG=1', 2);
      half.write('lo\n');
      await half.whenRead('HELLO\n');
      half.end();
      expect([await server.whenExited(), server.errors]).toEqual([0, '']);
    });

    it('sends no messages of the watchdog where systemd expects none', async () => {
      const server = start({});
      await received.when('READY=1');
      server.child.kill('SIGTERM');
      await received.when('STOPPING=1');
      await server.whenExited();
      expect(received.messages.map((message) => message.split('\n')[0])).toEqual(['READY=1', 'STOPPING=1']);
    });

    it('works without the program, and warns once', async () => {
      const server = start({ WATCHDOG_USEC: '30000', PATH: '/nowhere' });
      await server.until(({ errors }) => errors.includes('Warning'));
      await client(await server.whenListening())
        .write('hello\n')
        .whenRead('HELLO\n');
      server.child.kill('SIGTERM');
      expect(await server.whenExited()).toBe(0);
      expect(server.errors.match(/Warning: .*/g)).toEqual([
        'Warning: systemd cannot be notified: spawn systemd-notify ENOENT',
      ]);
    });

    it('warns once where the program fails', async () => {
      const server = start({ WATCHDOG_USEC: '30000', PATH: instead('exit 3') });
      await server.until(({ errors }) => errors.includes('Warning'));
      server.child.kill('SIGTERM');
      await server.whenExited();
      expect(server.errors.match(/Warning: .*/g)).toEqual([
        'Warning: systemd cannot be notified: systemd-notify ended with 3',
      ]);
    });

    it('ends in time where the program hangs, and runs it no more for the watchdog', async () => {
      const pids = join(folder, 'pids');
      const server = start({ WATCHDOG_USEC: '3000', PATH: instead(`echo $$ >> ${pids}; exec sleep 600`) });
      await client(await server.whenListening())
        .write('hello\n')
        .whenRead('HELLO\n');
      server.child.kill('SIGTERM');
      await server.whenEmitted('drained');
      // Its output is closed by its end, which does not wait for the program.
      expect([await server.whenExited(), server.errors]).toEqual([0, '']);
      const started = () => readFileSync(pids, 'utf8').trim().split('\n').map(Number);
      // For READY and STOPPING.
      await expect.poll(() => started().length, { timeout: PATIENCE }).toBe(2);
      for (const pid of started()) process.kill(pid, 'SIGKILL');
    });
  },
);
