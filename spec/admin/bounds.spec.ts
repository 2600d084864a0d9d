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
function raw(port: number, text: string): { socket: Socket; closed: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  sockets.add(socket);
  let received = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    received += part;
  });
  socket.on('error', () => {});
  socket.write(text);
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve(received))) };
}

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

  it('has 64 connections at most, and serves again when some have left', async () => {
    const { port } = await AdminPort.open();
    const request = 'GET /livez HTTP/1.1\r\nHost: localhost\r\n';
    const held = Array.from({ length: 64 }, () => raw(port, request));
    await Promise.all(held.map(({ socket }) => new Promise((resolve) => socket.on('connect', resolve))));
    const next = raw(port, `${request}\r\n`);
    expect(await next.closed).toBe('');
    const [one] = held;
    one?.socket.end(`Connection: close\r\n\r\n`);
    expect(await one?.closed).toMatch(/^HTTP\/1.1 200/);
    let last = '';
    do last = await raw(port, `${request}Connection: close\r\n\r\n`).closed;
    while (last === '');
    expect(last).toMatch(/^HTTP\/1.1 200/);
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
