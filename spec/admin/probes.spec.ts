import { afterEach, describe, expect, it } from 'vitest';
import { AdminPort, ask, closeAdminPorts } from '../support/adminPort.ts';

afterEach(closeAdminPorts);

const silent = { greeting: Number.POSITIVE_INFINITY, idle: Number.POSITIVE_INFINITY };

describe('/livez and /readyz', () => {
  it('are 200, and 503 and then 200 once the server listens', async () => {
    const admin = await AdminPort.beforeListening();
    expect(await ask(admin.port, '/livez')).toMatchObject({ status: 200, text: 'alive\n' });
    expect(await ask(admin.port, '/readyz')).toMatchObject({
      status: 503,
      text: 'not ready: the server is starting\n',
    });
    await admin.clock.settle();
    expect(await ask(admin.port, '/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
  });

  it('/readyz is 503 from the first signal on, while the port still accepts', async () => {
    const admin = await AdminPort.open({ serving: { announce: 5000, grace: 10_000, ...silent } });
    await admin.connect();
    admin.shutdown.next();
    expect(admin.network.listening).toBe(true);
    expect(await ask(admin.port, '/readyz')).toMatchObject({
      status: 503,
      text: 'not ready: the server is draining\n',
    });
    expect(await ask(admin.port, '/livez')).toMatchObject({ status: 200 });
  });

  it.each(['/livez', '/readyz', '/metrics'])('%s needs no token, and is answered under any name', async (path) => {
    const admin = await AdminPort.open({
      options: { metrics: { contentType: 'text/plain', metrics: async () => 'x 1\n' } },
    });
    for (const host of ['10.1.2.3:9000', 'pod.internal', 'localhost']) {
      expect((await ask(admin.port, path, { headers: { host } })).status).toBe(200);
    }
  });

  it('answers HEAD as GET without the text, and no other method', async () => {
    const admin = await AdminPort.open();
    expect(await ask(admin.port, '/readyz', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
    expect(await ask(admin.port, '/readyz', { method: 'POST' })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD' },
    });
  });
});

describe('/metrics', () => {
  it('is what the registry has, with its content type', async () => {
    const metrics = { contentType: 'text/plain; version=0.0.4', metrics: async () => 'up 1\n' };
    const admin = await AdminPort.open({ options: { metrics } });
    expect(await ask(admin.port, '/metrics')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/plain; version=0.0.4' },
      text: 'up 1\n',
    });
  });

  it('is 404 with a sentence without a registry', async () => {
    const admin = await AdminPort.open();
    expect(await ask(admin.port, '/metrics')).toMatchObject({
      status: 404,
      text: 'there are no metrics: the option metrics of admin is not given\n',
    });
  });

  const broken = new Error('broken');
  it.each([
    ['rejects', () => Promise.reject(broken), broken],
    [
      'throws',
      () => {
        throw broken;
      },
      broken,
    ],
    ['resolves to no text', () => Promise.resolve(5 as unknown as string), expect.any(TypeError)],
  ])('is 500 with a sentence, and an event with the error, if metrics() %s', async (_how, metrics, error) => {
    const admin = await AdminPort.open({ options: { metrics: { contentType: 'text/plain', metrics } } });
    const { status, text } = await ask(admin.port, '/metrics');
    expect({ status, text }).toEqual({
      status: 500,
      text: 'the metrics cannot be collected: the event failed of the admin port has the error\n',
    });
    expect(admin.log.of('failed')).toEqual([{ type: 'failed', error }]);
    // Any client may ask, at any rate.
    await ask(admin.port, '/metrics');
    expect(admin.log.of('failed')).toHaveLength(1);
    await admin.clock.advance(1000);
    await ask(admin.port, '/metrics');
    expect(admin.log.of('failed')).toHaveLength(2);
    expect((await ask(admin.port, '/livez')).status).toBe(200);
  });
});
