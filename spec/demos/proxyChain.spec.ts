import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { DemoServer, endDemos } from '../support/demoServer.ts';
import { HAProxy, type Route, skipped } from '../support/haproxy.ts';

const HOST = '127.0.0.1';
const FROM_HERE = ['--proxy-from', HOST];

const proxies: HAProxy[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(proxies.splice(0).map((proxy) => proxy.stop()));
  await endDemos();
});

async function start(routes: Readonly<Record<string, Route>>): Promise<HAProxy> {
  const proxy = await HAProxy.start(routes);
  proxies.push(proxy);
  return proxy;
}

/** Sends a line. @returns The reply, and the client's own address. */
async function ask(socket: Socket, line: string) {
  sockets.push(socket);
  socket.write(line);
  const [reply] = await once(socket, 'data');
  const address = { address: socket.localAddress, port: socket.localPort };
  socket.end();
  await once(socket, 'close');
  return { reply: String(reply), address };
}

describe.skipIf(skipped)('the echo demo behind HAProxy', () => {
  it.each(['send-proxy', 'send-proxy-v2'])('knows the address of the client (%s)', async (words) => {
    const echo = new DemoServer('echo', FROM_HERE);
    const proxy = await start({ front: { server: words, to: await echo.whenListening() } });
    const { reply, address } = await ask(connect(proxy.port('front'), HOST), 'hello\n');
    expect(reply).toBe('hello\n');
    await echo.whenEmitted('closed');
    expect(echo.of('closed')).toMatchObject([{ peer: address, reason: 'ended' }]);
  });

  it.each(['send-proxy', 'send-proxy-v2'])('passes its health checks (%s)', async (words) => {
    const echo = new DemoServer('echo', [...FROM_HERE, '--verbose']);
    const check = `${words} check check-send-proxy inter 50ms`;
    const proxy = await start({ front: { server: check, to: await echo.whenListening() } });
    // A check closes the connection when the header is sent. Whether it is handed out before that depends on the moment.
    const ends = () => [...echo.of('closed'), ...echo.of('refused')];
    await echo.until(() => ends().length >= 4, 'some health checks');
    expect(ends().filter(({ reason }) => !['ended', 'reset', 'gone'].includes(reason))).toEqual([]);
    const { reply } = await ask(connect(proxy.port('front'), HOST), 'hello\n');
    expect(reply).toBe('hello\n');
  });

  it('with TLS on both sides, knows the address of the client', async () => {
    const echo = new DemoServer('echo', [...FROM_HERE, '--tls-self-signed']);
    const words = 'send-proxy-v2 ssl verify none';
    const bind = 'ssl crt FOLDER/server.pem';
    const proxy = await start({ front: { bind, server: words, to: await echo.whenListening() } });
    const options = { port: proxy.port('front'), host: HOST, rejectUnauthorized: false };
    const { reply, address } = await ask(connectTls(options), 'hello\n');
    expect(reply).toBe('hello\n');
    await echo.whenEmitted('closed');
    expect(echo.of('closed')).toMatchObject([{ peer: address }]);
  });

  it('and behind the proxy demo, with TLS in front of all, knows the address of the client', async () => {
    const echo = new DemoServer('echo', FROM_HERE);
    const backend = `${HOST}:${await echo.whenListening()}`;
    const balancer = new DemoServer('proxy', [...FROM_HERE, '--backend', backend, '--proxy-protocol']);
    const bind = 'ssl crt FOLDER/server.pem';
    const proxy = await start({ front: { bind, server: 'send-proxy-v2', to: await balancer.whenListening() } });
    const options = { port: proxy.port('front'), host: HOST, rejectUnauthorized: false };
    const { reply, address } = await ask(connectTls(options), 'hello\n');
    expect(reply).toBe('hello\n');
    await echo.until(() => echo.of('closed').some(({ bytesIn }) => bytesIn > 0), 'the end of the connection');
    expect(echo.of('closed').filter(({ bytesIn }) => bytesIn > 0)).toMatchObject([{ peer: address }]);
  });
});
