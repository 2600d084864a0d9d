import { map, share } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { admin } from '../../lib/admin/index.ts';
import { encodeLine, lines, serve } from '../../lib/index.ts';
import { AdminLog, ask } from '../support/adminPort.ts';
import { client, clients, closeClients } from '../support/client.ts';
import { Log } from '../support/log.ts';
import { endPrograms, Program } from '../support/program.ts';

afterEach(() => {
  closeClients();
  endPrograms();
});

describe('the admin port gets in', () => {
  it('when the server is full, and frees a place', async () => {
    const options = { concurrency: 1, waiting: { max: 0 } };
    const echo = serve({ port: 0, host: '127.0.0.1' }, (one) => one.pipe(lines(), map(encodeLine)), options);
    const events = echo.pipe(share());
    const { log, subscription } = AdminLog.follow(admin(events, { port: 0 }));
    const server = Log.follow(events);
    const port = await log.whenListening();
    const { token } = log.of('listening')[0] ?? {};
    const serverPort = await server.whenListening();
    await client(serverPort).write('in\n').whenRead('in\n');
    await client(serverPort).whenClosed();
    expect(server.refusals).toEqual(['full']);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 });
    expect(JSON.parse((await ask(port, '/connections', { headers })).text)).toMatchObject([{ id: 1 }]);
    await ask(port, '/connections/drain', { method: 'POST', headers, body: '{"all":true}' });
    await server.whenEmitted('closed');
    await client(serverPort).write('again\n').whenRead('again\n');
    subscription.unsubscribe();
    server.subscription?.unsubscribe();
  });

  it('when the descriptors are exhausted, with its page, and aborts those that have them', async () => {
    const options = { concurrency: 1000, waiting: { max: 1000 } };
    // The loader of Node opens many files at a time.
    const program = new Program('administered', { descriptors: 250, options });
    const port = await program.whenListening();
    const opened = () =>
      program.events
        .map((event) => event as unknown as Record<string, unknown>)
        .find(({ event }) => event === 'listening');
    await program.until(() => opened() !== undefined, 'the admin port');
    const { address, token } = opened() as { address: { port: number }; token: string };
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const all = clients(500, port);
    for (const one of all) one.write('hello\n');
    await Promise.all(all.map((one) => one.until(({ closed, text }) => closed || text === 'hello\n')));
    expect(program.of('exhausted')).not.toEqual([]);
    const served = program.of('opened').length;
    for (const path of ['/', '/page.js', '/uplot.js', '/readyz']) {
      expect([path, (await ask(address.port, path)).status]).toEqual([path, 200]);
    }
    const several = await Promise.all(Array.from({ length: 10 }, () => ask(address.port, '/connections', { headers })));
    for (const { text } of several) expect(JSON.parse(text)).toHaveLength(served);
    const aborted = await ask(address.port, '/connections/abort', { method: 'POST', headers, body: '{"all":true}' });
    expect(JSON.parse(aborted.text)).toEqual({ connections: served });
    await program.whenEmitted('closed', served);
    await client(port).write('again\n').whenRead('again\n');
    program.kill('SIGTERM');
    closeClients();
    await program.whenExited();
    expect([program.exit, program.output]).toEqual([0, '']);
  });
});
