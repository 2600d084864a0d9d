import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { client, closeClients } from '../../support/client.ts';
import { bundledServer, DeployedServer, deployPath, endServers } from '../../support/deployed.ts';
import { freePort } from '../../support/freePort.ts';
import { skippedWithout } from '../../support/systemd/programs.ts';

const programs = { 'systemd-socket-activate': '--version', python3: '--version', ss: '-V' };

describe.skipIf(skippedWithout('sockets that are opened by other programs are', programs))('a server', () => {
  let folder: string;
  let file: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-activated-'));
    file = join(folder, 'server.mjs');
    writeFileSync(file, await bundledServer());
  });
  afterEach(() => {
    closeClients();
    endServers();
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The receive and the send buffer of the server's end of a connection, as the kernel has them. */
  function buffersOf(port: number, peer: number | undefined): string[] {
    const shown = execFileSync('ss', ['-tmnH', `sport = :${port} and dport = :${peer}`], { encoding: 'utf8' });
    return [...(/skmem:\(r\d+,(rb\d+),t\d+,(tb\d+)/.exec(shown) ?? [])].slice(1);
  }

  describe.each(['handle', 'net'])('(transport: %s)', (transport) => {
    const env = { SLUICE_TRANSPORT: transport };

    /** Starts the command by systemd-socket-activate, and a client that activates it. */
    async function activated(name: string, command: readonly string[]) {
      const port = await freePort();
      const set = Object.entries(env).map(([variable, value]) => `--setenv=${variable}=${value}`);
      const activate = ['systemd-socket-activate', `--listen=127.0.0.1:${port}`, `--fdname=${name}`, ...set];
      const server = new DeployedServer([...activate, ...command], env);
      await server.until(({ errors, exit }) => errors.includes('Listening on') || exit !== undefined);
      return { server, port, first: client(port).write('hello\n') };
    }

    it('is started by systemd-socket-activate for its first client, and serves it', async () => {
      const { server, port, first } = await activated('main', [process.execPath, file]);
      expect(await server.whenListening()).toBe(port);
      expect(server.of('listening')).toMatchObject([{ transport }]);
      await first.whenRead('HELLO\n');
      first.end();
      await server.whenEmitted('closed');
      server.child.kill('SIGTERM');
      expect(await server.whenExited()).toBe(0);
    });

    it('does not start with a socket of another name, or with one that is for a process in front of it', async () => {
      const named = await activated('other', [process.execPath, file]);
      expect(await named.server.whenExited()).toBe(1);
      expect(named.server.errors).toContain(
        "InheritedSocketError: Cannot inherit a socket: there is none with the name 'main' among 'other' (descriptor 3).",
      );
      // As npm and npx do it.
      const behind = await activated('main', ['sh', '-c', '"$0" "$@"; exit', process.execPath, file]);
      expect(await behind.server.whenExited()).toBe(1);
      expect(behind.server.errors).toMatch(/the sockets are for process \d+, and this is process \d+\./);
    });

    it('has the kernel buffers of its opener on each connection, and lets a client wait until its first byte', async () => {
      const opener = ['python3', deployPath('open.py'), '127.0.0.1', '0', process.execPath, file];
      const server = new DeployedServer(opener, env);
      const port = await server.whenListening();
      // It is not accepted, although it is connected first: TCP_DEFER_ACCEPT.
      const silent = await client(port).whenConnected();
      const one = await client(port).write('hello\n').whenRead('HELLO\n');
      const { localPort } = one.socket;
      // Linux doubles what it is asked for.
      expect(buffersOf(port, localPort)).toEqual(['rb65536', 'tb262144']);
      one.end();
      await server.whenEmitted('closed');
      expect(server.of('closed')).toMatchObject([{ id: 1, peer: { port: localPort } }]);
      silent.write('hello\n');
      await silent.whenRead('HELLO\n');
      expect(buffersOf(port, silent.socket.localPort)).toEqual(['rb65536', 'tb262144']);
    });

    it('has buffers that the kernel adapts where the opener sets none', async () => {
      const server = new DeployedServer([process.execPath, file], { ...env, PORT: '0' });
      const port = await server.whenListening();
      const one = await client(port).write('hello\n').whenRead('HELLO\n');
      const [receive, send] = buffersOf(port, one.socket.localPort);
      expect(receive).not.toBe('rb65536');
      expect(send).not.toBe('tb262144');
    });
  });
});
