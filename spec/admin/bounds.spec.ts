import { connect, Server, type Socket } from 'node:net';
import { NEVER } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { admin } from '../../lib/admin/index.ts';
import { readPage } from '../../lib/admin/pageFiles.ts';
import { AdminLog, AdminPort, ask, closeAdminPorts } from '../support/adminPort.ts';

const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  closeAdminPorts();
  vi.restoreAllMocks();
});

/** A client that sends what it is given, and nothing more. */
function raw(port: number, text: string, localAddress = '127.0.0.1'): { socket: Socket; closed: Promise<string> } {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  sockets.add(socket);
  let received = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    received += part;
  });
  socket.on('error', () => {});
  socket.write(text);
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve(received))) };
}

const probe = 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n';

describe('the admin port', () => {
  it('closes a client that does not send its request in time, its body included', async () => {
    const { port, token } = await AdminPort.open();
    const type = 'Content-Type: application/json\r\nContent-Length: 9\r\n';
    const headers = `Host: localhost\r\n${type}Authorization: Bearer ${token}\r\n`;
    const slow = [
      raw(port, ''),
      raw(port, 'GET /livez HTTP/1.1\r\n'),
      raw(port, `POST /connections/drain HTTP/1.1\r\n${headers}\r\n{`),
    ];
    await Promise.all(slow.map(({ closed }) => closed));
  });

  it('has 64 connections at most, and a further one closes the oldest', async () => {
    const { port } = await AdminPort.open();
    const held: ReturnType<typeof raw>[] = [];
    for (let i = 0; i < 64; i++) {
      held.push(raw(port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\n'));
      // One after the other: the order of the accepts is that of the connects.
      await new Promise((resolve) => held[i]?.socket.on('connect', resolve));
    }
    const [oldest, ...others] = held;
    expect(await raw(port, probe).closed).toMatch(/^HTTP\/1.1 200/);
    expect(await oldest?.closed).toBe('');
    for (const { socket } of others) socket.write('\r\n');
    expect(await Promise.all(others.map(({ closed }) => closed))).toEqual(
      Array(63).fill(expect.stringMatching(/^HTTP\/1.1 200/)),
    );
  });

  it('closes one of the address that has most connections', async () => {
    const { port } = await AdminPort.open();
    const one = raw(port, 'GET /livez HTTP/1.1\r\nHost: localhost\r\n', '127.0.0.2');
    await new Promise((resolve) => one.socket.on('connect', resolve));
    const held = Array.from({ length: 200 }, () => raw(port, 'GET /livez HTTP/1.1\r\n'));
    await Promise.all(held.slice(0, 100).map(({ closed }) => closed));
    one.socket.write('\r\n');
    expect(await one.closed).toMatch(/^HTTP\/1.1 200/);
  });

  it('keeps no connection for a second request without the token', async () => {
    const { port, token } = await AdminPort.open();
    expect(await raw(port, `${probe}${probe}`).closed).toMatch(/^HTTP\/1.1 200 OK(?!.*HTTP)/s);
    const wrong = raw(port, `GET /limits HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    expect(await wrong.closed).toMatch(/^HTTP\/1.1 401/);
    const request = `GET /limits HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    expect((await raw(port, `${request}${request}${probe}`).closed).match(/HTTP\/1.1 200/g)).toHaveLength(3);
  });

  it('keeps live pages open, whatever comes', async () => {
    const admin = await AdminPort.open({ options: { viewers: 70 } });
    const request = `GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${admin.token}\r\n\r\n`;
    const pages = Array.from({ length: 70 }, () => raw(admin.port, request));
    await Promise.all(pages.map(({ socket }) => new Promise((resolve) => socket.once('data', resolve))));
    const others = Array.from({ length: 200 }, () => raw(admin.port, probe));
    const answers = await Promise.all(others.map(({ closed }) => closed));
    expect(answers.at(-1)).toMatch(/^HTTP\/1.1 200/);
    expect(pages.map(({ socket }) => socket.readyState)).toEqual(Array(70).fill('open'));
  });

  it('reports no failure of a client that leaves, or takes too long, in the middle of a body', async () => {
    const { port, token, log } = await AdminPort.open();
    const type = 'Content-Type: application/json\r\nContent-Length: 9\r\n';
    const text = `POST /connections/drain HTTP/1.1\r\nHost: localhost\r\n${type}Authorization: Bearer ${token}\r\n\r\n{`;
    const [left, slow] = [raw(port, text), raw(port, text)];
    left.socket.end();
    await left.closed;
    expect(await slow.closed).toMatch(/^HTTP\/1.1 408/);
    expect(log.of('failed')).toEqual([]);
  });

  it('answers a body that is far too long, without reading it to its end', async () => {
    const admin = await AdminPort.open();
    expect(await admin.post('/connections/drain', `"${'x'.repeat(4_000_000)}"`)).toMatchObject({
      status: 413,
      error: { reason: 'too-large', message: 'The body has more than 65536 bytes' },
    });
  });

  it('is closed a second after the server has ended, whatever is in progress', async () => {
    const metrics = { contentType: 'text/plain', metrics: () => new Promise<string>(() => {}) };
    const port = await AdminPort.open({ options: { metrics } });
    const pending = ask(port.port, '/metrics').catch(() => 'cut');
    await ask(port.port, '/livez');
    port.shutdown.next();
    await port.clock.settle();
    await port.server.until(({ completed }) => completed);
    await port.clock.advance(999);
    expect(port.log.completed).toBe(false);
    await port.clock.advance(1);
    expect(await pending).toBe('cut');
    await port.log.until(({ completed }) => completed);
  });

  it('is not opened if it is unsubscribed while its files are being read', async () => {
    const listen = vi.spyOn(Server.prototype, 'listen');
    const { subscription } = AdminLog.follow(admin(NEVER, { port: 0 }));
    subscription.unsubscribe();
    await readPage();
    await readPage();
    expect(listen).not.toHaveBeenCalled();
  });
});
