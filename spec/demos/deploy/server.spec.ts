import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { client, closeClients } from '../../support/client.ts';
import { DeployedServer, deployPath, endServers } from '../../support/deployed.ts';
import { freePort } from '../../support/freePort.ts';

afterEach(() => {
  closeClients();
  endServers();
});

const start = (env: Readonly<Record<string, string>>) =>
  new DeployedServer([process.execPath, '--import', 'tsx', deployPath('server.ts')], env);

const token = 'of-sixteen-characters-or-more';

describe('the server to deploy', () => {
  it('drains and ends with 1 and a sentence if the admin port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const server = start({ PORT: '0', ADMIN_PORT: `${port}` });
    expect(await server.whenExited()).toBe(1);
    other.close();
    const lines = server.events.map(({ type }) => `${type}`);
    expect(lines.filter((type) => type !== 'listening')).toEqual(['admin', 'draining', 'drained']);
    expect(server.events.find(({ type }) => `${type}` === 'admin')).toMatchObject({
      level: 50,
      msg: expect.stringMatching(/^admin: the port cannot be opened, so the server drains and ends: listen EADDRINUSE/),
    });
  });

  it('listens on port 7000 if PORT is empty, and has no admin port if that is', async () => {
    const server = start({ PORT: '', ADMIN_PORT: '', ANNOUNCE: '', GRACE: '' });
    // Another program may have that port.
    const port = await server.whenListening().catch(() => (/:7000\b/.test(JSON.stringify(server.events)) ? 7000 : 0));
    expect(port).toBe(7000);
  });

  it('has limits that move, and a drain from the page that a later SIGTERM does not cut short', async () => {
    const admin = await freePort();
    const server = start({ PORT: '0', ADMIN_PORT: `${admin}`, ADMIN_HOST: '', ADMIN_TOKEN: token });
    const port = await server.whenListening();
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const ask = (path: string, body?: object): Promise<Response> => {
      const method = body === undefined ? 'GET' : 'POST';
      const sent = fetch(`http://127.0.0.1:${admin}${path}`, { method, headers, body: JSON.stringify(body) });
      // Until the port is open.
      return sent.catch(() => ask(path, body));
    };
    expect(await (await ask('/limits')).json()).toMatchObject([
      { name: 'concurrency', value: 1000 },
      { name: 'waiting.max', value: 1000 },
      { name: 'perAddress.connections', value: 'share' },
    ]);
    expect((await ask('/limits/move', { name: 'perAddress.connections', value: 1 })).status).toBe(200);
    const half = client(port).write('one\nhel');
    await half.whenRead('ONE\n');
    await client(port).whenClosed();
    await server.whenEmitted('refused');
    expect(server.of('refused')).toMatchObject([{ reason: 'per-address', limit: 1 }]);
    expect((await ask('/drain', {})).status).toBe(202);
    await server.whenEmitted('draining');
    server.child.kill('SIGTERM');
    expect((await ask('/readyz')).status).toBe(503);
    half.write('lo\n');
    await half.whenRead('ONE\nHELLO\n');
    half.end();
    expect([await server.whenExited(), server.errors]).toEqual([0, '']);
    expect(server.of('drained')).toMatchObject([{ aborted: 0, drained: 1 }]);
  });
});
