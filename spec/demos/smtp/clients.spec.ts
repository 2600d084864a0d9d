import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { createTransport, type SendMailOptions } from 'nodemailer';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { authority } from '../../support/certificates.ts';
import { type Client, client, closeClients } from '../../support/client.ts';
import { DemoServer, endDemos } from '../../support/demoServer.ts';
import { spawnDemo } from '../../support/spawnDemo.ts';

const run = promisify(execFile);

/** In CI, where everything must be checked, a missing program is a failure. Elsewhere its specs are skipped. */
function isInstalled(program: string, argument: string): boolean {
  // An empty program, for those that read one.
  if (spawnSync(program, [argument], { input: '' }).status === 0) return true;
  if (process.env.CI) throw new Error(`${program} is not installed, and CI needs it`);
  console.warn(`${program} is not installed: what it does with the SMTP receiver is not tried`);
  return false;
}

let certificates: string;
let ca: string;
let folder: string;
let withCertificate: string[];

beforeAll(async () => {
  certificates = await mkdtemp(join(tmpdir(), 'sluice-smtp-'));
  const root = await authority();
  const { cert, key } = await root.issue();
  await writeFile(join(certificates, 'server.pem'), cert + key);
  await writeFile(join(certificates, 'ca.pem'), root.ca);
  ca = root.ca;
  const path = join(certificates, 'server.pem');
  withCertificate = ['--tls-cert', path, '--tls-key', path];
});
afterAll(() => rm(certificates, { recursive: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-mail-'));
});
afterEach(async () => {
  closeClients();
  await endDemos();
  await rm(folder, { recursive: true });
});

/** The demo with a maildir. */
async function serving(...args: string[]): Promise<{ server: DemoServer; port: number }> {
  const server = new DemoServer('smtp', ['--hostname', 'mx.test', '--maildir', folder, ...args]);
  return { server, port: await server.whenListening() };
}

/** What is in one of the folders of the maildir. */
async function filesIn(name: 'new' | 'tmp'): Promise<string[]> {
  const names = await readdir(join(folder, name));
  return Promise.all(names.map((file) => readFile(join(folder, name, file), 'latin1')));
}

const START = '354 ';
const HELLO = 'EHLO me.test\r\nMAIL FROM:<a@me.test>\r\nRCPT TO:<b@mx.test>\r\nDATA\r\n';

describe('nodemailer', () => {
  const send = async (port: number, options: object, ...messages: SendMailOptions[]) => {
    const transport = createTransport({ host: '127.0.0.1', port, name: 'me.test', ...options });
    try {
      return await Promise.all(messages.map((message) => transport.sendMail(message)));
    } finally {
      transport.close();
    }
  };
  const envelope = { from: 'a@me.test', to: ['b@mx.test'] };

  it('sends a message that is stored as it was, byte by byte', async () => {
    const { port, server } = await serving();
    const raw = 'Subject: dots\r\n\r\n.\r\n..\r\n.a\r\nGrüße\r\n\r\n';
    const large = `Subject: large\r\n\r\n${`${'x'.repeat(70)}.\r\n`.repeat(40_000)}`;
    const [one] = await send(port, {}, { envelope, raw: Buffer.from(raw) });
    expect(one?.response).toMatch(/^250 2\.0\.0 OK, accepted as /);
    await send(port, {}, { envelope, raw: large });
    const contents = (await filesIn('new')).map((text) => text.slice(text.indexOf('Subject: ')));
    expect(contents.length).toBe(2);
    expect(contents).toContain(Buffer.from(raw).toString('latin1'));
    // Compared so, because a difference would be printed whole.
    expect(contents.includes(large)).toBe(true);
    expect(await filesIn('tmp')).toEqual([]);
    expect(server.events.filter(({ type }) => (type as string) === 'message')).toHaveLength(2);
  });

  it('sends a hundred messages at once, each of which is stored once', async () => {
    const { port } = await serving(...withCertificate);
    const texts = Array.from({ length: 100 }, (_, i) => `number ${i}.`);
    const messages = texts.map((text) => ({ from: 'a@me.test', to: 'b@mx.test', subject: 'many', text }));
    // Half of them over STARTTLS, each on a connection of its own; the other half on ten connections in clear text.
    await Promise.all([
      send(port, { tls: { ca, servername: 'localhost' }, requireTLS: true }, ...messages.slice(0, 50)),
      send(port, { ignoreTLS: true, pool: true, maxConnections: 10 }, ...messages.slice(50)),
    ]);
    const stored = (await filesIn('new')).map((text) => /number \d+\./.exec(text)?.[0]);
    expect(stored.sort()).toEqual([...texts].sort());
    expect(await filesIn('tmp')).toEqual([]);
  });

  it('is told what is wrong with a message', async () => {
    const { port } = await serving('--max-size', '1000');
    const text = 'x'.repeat(2000);
    await expect(send(port, {}, { ...envelope, text })).rejects.toMatchObject({ responseCode: 552 });
    expect(await filesIn('new')).toEqual([]);
  });

  it('sends over STARTTLS, and over TLS from the first byte', async () => {
    const tls = { ca, servername: 'localhost' };
    for (const [args, options] of [
      [['--require-tls'], { requireTLS: true }],
      [['--implicit-tls', '--require-tls'], { secure: true }],
    ] as const) {
      const { port } = await serving(...withCertificate, ...args);
      await send(port, { tls, ...options }, { ...envelope, subject: args[0], text: 'hello' });
      expect((await filesIn('new')).find((file) => file.includes(`Subject: ${args[0]}`))).toMatch(
        /by mx\.test \(TLSv1\.3 TLS_\w+\)\r\n\twith ESMTPS id/,
      );
    }
  });

  it('gets no mail accepted in clear text where TLS is required', async () => {
    const { port } = await serving(...withCertificate, '--require-tls');
    const sent = send(port, { ignoreTLS: true }, { ...envelope, text: 'hello' });
    await expect(sent).rejects.toMatchObject({ responseCode: 530 });
    expect(await filesIn('new')).toEqual([]);
  });
});

describe.runIf(isInstalled('swaks', '--version'))('swaks', () => {
  it.each([[[]], [['--pipeline']]])('sends a message: %s', async (args) => {
    const { port, server } = await serving();
    const { stdout } = await run('swaks', [
      ...['--server', `127.0.0.1:${port}`, '--from', 'a@me.test', '--to', 'b@mx.test,c@mx.test'],
      ...['--body', 'from swaks', ...args],
    ]);
    expect(stdout).toContain('<-  250 2.0.0 OK, accepted as ');
    expect(stdout).toContain('<-  221 2.0.0 mx.test closes');
    expect(await filesIn('new')).toEqual([expect.stringContaining('\r\n\r\nfrom swaks\r\n')]);
    await server.whenEmitted('closed');
    expect(server.closes).toEqual(['completed']);
  });

  it.runIf(isInstalled('perl', '-MNet::SSLeay'))('sends a message over STARTTLS', async () => {
    const { port } = await serving(...withCertificate, '--require-tls');
    const { stdout } = await run('swaks', [
      ...['--server', `127.0.0.1:${port}`, '--from', 'a@me.test', '--to', 'b@mx.test', '--body', 'from swaks', '--tls'],
      ...['--tls-verify', '--tls-ca-path', join(certificates, 'ca.pem')],
    ]);
    expect(stdout).toContain('=== TLS started');
    expect(await filesIn('new')).toEqual([expect.stringContaining('with ESMTPS id')]);
  });
});

describe.runIf(isInstalled('openssl', 'version'))('openssl s_client -starttls smtp', () => {
  it('secures the connection, and talks over it', async () => {
    const { port } = await serving(...withCertificate);
    const args = ['s_client', '-starttls', 'smtp', '-crlf', '-quiet', '-verify_return_error'];
    const child = spawn('openssl', [
      ...args,
      ...['-connect', `127.0.0.1:${port}`, '-CAfile', join(certificates, 'ca.pem'), '-servername', 'localhost'],
    ]);
    let output = '';
    const until = (text: string) =>
      new Promise<void>((resolve, reject) => {
        const check = () => output.includes(text) && resolve();
        child.stdout.on('data', check);
        child.once('close', () => reject(new Error(`openssl has ended: ${output}`)));
        check();
      });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stdin.write('EHLO me.test\nMAIL FROM:<a@me.test>\nrCPT TO:<b@mx.test>\nDATA\n');
    await until(START);
    expect(output).not.toContain('STARTTLS');
    child.stdin.write('from openssl\n.\nSTARTTLS\n');
    await until('503 5.5.1 The connection is secured already');
    child.kill();
    expect(await filesIn('new')).toEqual([expect.stringContaining('from openssl\r\n')]);
  });
});

describe('a client that begins TLS', () => {
  /** Sends STARTTLS, and what else comes in the same packet. */
  async function startTls(port: number, more = ''): Promise<Client> {
    const one = client(port);
    await one.write('EHLO me.test\r\n').whenRead('250 ENHANCEDSTATUSCODES\r\n');
    return one.write(`STARTTLS\r\n${more}`);
  }

  /** Reads from a secured connection until a text comes. */
  const reader = (socket: TLSSocket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    return async (awaited: string): Promise<string> => {
      while (!text.includes(awaited)) await once(socket, 'data');
      return text;
    };
  };

  it('and has sent a command in clear text behind it is closed, and the command is not executed', async () => {
    const { port, server } = await serving(...withCertificate);
    const one = await startTls(port, 'MAIL FROM:<injected@me.test>\r\n');
    await one.whenClosed();
    await server.whenEmitted('closed');
    expect(server.closes).toEqual(['tls']);
    expect(server.of('failed')).toEqual([]);
    expect(one.text).not.toContain('250 2.1.0');
  });

  it('and does not speak TLS is closed, and others are served', async () => {
    const { port, server } = await serving(...withCertificate);
    const one = await startTls(port);
    await one.whenRead('220 2.0.0 Ready to start TLS\r\n');
    await one.write('NOOP\r\n').whenClosed();
    await server.whenEmitted('closed');
    expect(server.closes).toEqual(['tls']);
    expect(server.of('failed')).toEqual([]);
    await client(port).whenRead('220 ');
  });

  it('has its message finished at SIGTERM', async () => {
    const { port, server } = await serving(...withCertificate);
    const one = await startTls(port);
    await one.whenRead('220 2.0.0 Ready to start TLS\r\n');
    one.socket.removeAllListeners('data');
    const socket = connect({ socket: one.socket, ca, servername: 'localhost' });
    const whenRead = reader(socket);
    socket.write(HELLO);
    await whenRead(START);
    server.kill('SIGTERM');
    await server.whenEmitted('draining');
    socket.write('hello\r\n.\r\n');
    expect(await whenRead('421 4.3.2 mx.test is shutting down\r\n')).toContain('250 2.0.0 OK, accepted as');
    expect(await server.whenEnded()).toMatchObject({ code: 0, stderr: '' });
    expect(server.report).toMatchObject({ drained: 1, aborted: 0 });
    expect(await filesIn('new')).toEqual([expect.stringContaining('hello\r\n')]);
  });
});

describe('the program', () => {
  /** The name of the demo, and what it prints if it cannot start. */
  const failure = async (...args: string[]) => (await spawnDemo('smtp', ['--port=0', ...args]).done).stderr;

  it('ends with a sentence if it cannot start', async () => {
    expect(await failure('--maildir', join(certificates, 'ca.pem'))).toMatch(/^smtp: cannot use \S+: .*ENOTDIR/);
    expect(await failure('--require-tls')).toMatch(/^smtp: --implicit-tls and --require-tls need a certificate/);
    expect(await failure('--hostname', 'a b')).toBe("smtp: --hostname must be the name of a host, and not 'a b'\n");
  });

  it('prints messages without a maildir', async () => {
    const server = new DemoServer('smtp', ['--hostname', 'mx.test']);
    const one = client(await server.whenListening());
    await one.write(`${HELLO}hello\r\n.\r\nQUIT\r\n`).whenRead('221 ');
    await server.until(({ types }) => types.includes('message'), 'a message');
    expect(server.events).toContainEqual(
      expect.objectContaining({
        type: 'message',
        from: 'a@me.test',
        to: ['b@mx.test'],
        size: 7,
        content: expect.stringMatching(/\r\n\r\n|hello\r\n$/),
      }),
    );
  });

  it('finishes a message at SIGTERM, tells the others by 421, and exits with 0', async () => {
    const { port, server } = await serving();
    const [sender, other] = [client(port), client(port)];
    await other.whenRead('220 ');
    await sender.write(HELLO).whenRead(START);
    server.kill('SIGTERM');
    await other.whenRead('421 4.3.2 mx.test is shutting down\r\n');
    await sender.write('hello\r\n.\r\n').whenRead('421 4.3.2 mx.test is shutting down\r\n');
    expect(sender.text).toContain('250 2.0.0 OK, accepted as');
    expect(await server.whenEnded()).toMatchObject({ code: 0, stderr: '' });
    expect(server.report).toMatchObject({ drained: 2, aborted: 0, unsent: 0 });
    expect(await filesIn('new')).toEqual([expect.stringContaining('hello\r\n')]);
    expect(await filesIn('tmp')).toEqual([]);
  });

  it('has no part of a message in new after a SIGKILL', async () => {
    const { port, server } = await serving();
    const one = client(port);
    await one.write(HELLO).whenRead(START);
    one.write(`${'x'.repeat(76)}\r\n`.repeat(2000));
    // A reply to another client shows that the server is past its first block.
    await client(port).write(`${HELLO}whole\r\n.\r\n`).whenRead('250 2.0.0 OK, accepted');
    server.kill('SIGKILL');
    await server.whenEnded();
    expect(await filesIn('new')).toEqual([expect.stringContaining('whole\r\n')]);
    const again = await serving();
    await client(again.port).write(`${HELLO}next\r\n.\r\n`).whenRead('250 2.0.0 OK, accepted');
    expect(await filesIn('new')).toHaveLength(2);
  });

  it('refuses what the disk does not take, stores nothing of it, and goes on', async () => {
    // A limit for the size of files acts as a disk that is full.
    const args = ['--import', 'tsx', 'demos/smtp.ts', '--port', '0', '--maildir', folder];
    const child: ChildProcess = spawn('bash', ['-c', 'ulimit -f 1024; exec "$0" "$@"', process.execPath, ...args]);
    try {
      const port = await new Promise<number>((resolve, reject) => {
        child.stdout?.on('data', (text) => resolve(Number(/"port":(\d+)/.exec(String(text))?.[1])));
        child.on('close', () => reject(new Error('the demo has ended')));
      });
      const one = client(port);
      await one.write(HELLO).whenRead(START);
      await one
        .write(`${'x'.repeat(76)}\r\n`.repeat(20_000))
        .write('.\r\n')
        .whenRead('451 4.3.0 ');
      expect([await filesIn('new'), await filesIn('tmp')]).toEqual([[], []]);
      await one.write(`${HELLO}small\r\n.\r\n`).whenRead('250 2.0.0 OK, accepted');
      expect(await filesIn('new')).toHaveLength(1);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('answers a client above its limits by 421', async () => {
    const { port } = await serving('--concurrency', '1', '--waiting', '0');
    await client(port).whenRead('220 ');
    const other = client(port);
    await other.whenRead('421 4.3.2 mx.test has too many connections\r\n');
    await other.whenClosed();
  });
});
