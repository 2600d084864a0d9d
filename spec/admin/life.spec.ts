import { request } from 'node:http';
import { createServer } from 'node:net';
import { BehaviorSubject, EMPTY, NEVER, Subject, throwError } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { type AdminOptions, admin } from '../../lib/admin/index.ts';
import type { ServerEvent } from '../../lib/index.ts';
import { AdminLog, AdminPort, ask, closeAdminPorts } from '../support/adminPort.ts';
import { Clock, iteration } from '../support/clock.ts';
import { uncaughtWhile } from '../support/uncaught.ts';

afterEach(closeAdminPorts);

/** The first tick that a live page receives. */
// biome-ignore lint/suspicious/noExplicitAny: it is what the spec expects.
const firstTick = (port: number, authorization: string): Promise<any> =>
  new Promise((resolve) => {
    let text = '';
    const sent = request({ port, host: '127.0.0.1', path: '/events', headers: { authorization } }, (response) =>
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
        const [, tick] = /event: tick\ndata: (.*)\n\n/.exec(text) ?? [];
        if (tick === undefined) return;
        sent.destroy();
        resolve(JSON.parse(tick));
      }),
    );
    sent.on('error', () => {}).end();
  });

/** The event of a server that has one connection. */
const listening = (connection: object, limits = { isClosed: false }) =>
  ({
    type: 'listening',
    address: { address: 'a', port: 1 },
    counters: { accepted: 1, waiting: 0, active: 1, closed: 0, refused: 0 },
    refusals: new Map(),
    limits,
    connections: Object.assign([connection], { rows: () => [connection].map(({ ...row }) => row) }),
  }) as unknown as ServerEvent;

const paused = { peer: 0, handler: 0, budget: 0 };
const open = { id: 1, peer: {}, state: 'open', bytesIn: 0, bytesOut: 0, unsent: 0, dropped: 0, paused, idle: 0 };

describe('admin', () => {
  it('opens no port and subscribes to nothing until it is subscribed to', () => {
    let subscriptions = 0;
    const events = new Subject<ServerEvent>();
    const counted = new Proxy(events, {
      get: (target, key) => {
        if (key === 'subscribe') subscriptions++;
        return Reflect.get(target, key);
      },
    });
    admin(counted, { port: 0 });
    // One look, to check that it is an Observable.
    expect([subscriptions, events.observed]).toEqual([1, false]);
  });

  it('completes with its port closed once the server has drained', async () => {
    const port = await AdminPort.open({ serving: { linger: 0 } });
    await port.connect();
    port.shutdown.next();
    await port.clock.advance(20_000);
    expect(port.server.completed).toBe(true);
    await port.log.until(({ completed }) => completed, 'its end');
    await expect(ask(port.port, '/livez')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('completes, and reports nothing, if the events end with an error, which is for their other subscribers', async () => {
    const events = new Subject<ServerEvent>();
    const { log } = AdminLog.follow(admin(events, { port: 0 }));
    const port = await log.whenListening();
    events.error(new Error('in use'));
    await log.until(({ completed }) => completed, 'its end');
    expect(log.fault).toBeUndefined();
    await expect(ask(port, '/livez')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it.each([
    ['complete', EMPTY],
    ['fail', throwError(() => new Error('in use'))],
  ])('completes without a port if the events %s within the subscription', async (_how, events) => {
    const { log } = AdminLog.follow(admin(events, { port: 0 }));
    expect([log.completed, log.events]).toEqual([true, []]);
  });

  it('completes if the events do while the port is being opened', async () => {
    const events = new Subject<ServerEvent>();
    const { log } = AdminLog.follow(admin(events, { port: 0 }));
    events.complete();
    await log.until(({ completed }) => completed, 'its end');
    expect(log.fault).toBeUndefined();
  });

  it('closes its port and all connections at once when it is unsubscribed, and unsubscribes from the events', async () => {
    const events = new Subject<ServerEvent>();
    const { log, subscription } = AdminLog.follow(admin(events, { port: 0 }));
    const port = await log.whenListening();
    subscription.unsubscribe();
    expect(events.observed).toBe(false);
    await expect(ask(port, '/livez')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(log.completed).toBe(false);
  });

  it('is not ready while the port is closed, and is ready again when the server begins anew', async () => {
    const events = new Subject<ServerEvent>();
    const { log, subscription } = AdminLog.follow(admin(events, { port: 0 }));
    const port = await log.whenListening();
    const limits = { isClosed: false };
    events.next(listening(open, limits));
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 });
    limits.isClosed = true;
    expect(await ask(port, '/readyz')).toMatchObject({ status: 503, text: 'not ready: the server is closed\n' });
    events.next(listening(open));
    events.next({ type: 'draining', active: 1, waiting: 0 });
    events.next({ type: 'drained', drained: 1, aborted: 0, refused: 0, unsent: 0, duration: 1 });
    expect(await ask(port, '/readyz')).toMatchObject({ status: 503, text: 'not ready: the server is drained\n' });
    events.next(listening(open));
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 });
    const headers = { authorization: `Bearer ${log.of('listening')[0]?.token}` };
    const shown = firstTick(port, headers.authorization);
    expect(await shown).toMatchObject({ phase: 'serving', sample: { accepted: 3 } });
    expect((await shown).drain).toBeUndefined();
    subscription.unsubscribe();
  });

  it('reports figures that throw once a second, and goes on', async () => {
    const scheduler = new Clock();
    const events = new Subject<ServerEvent>();
    const error = new Error('no figures');
    const { log, subscription } = AdminLog.follow(admin(events, { port: 0, scheduler }));
    const port = await log.whenListening();
    const broken = {
      get bytesIn(): number {
        throw error;
      },
    };
    const uncaught = await uncaughtWhile(async () => {
      events.next(listening(broken));
      await scheduler.advance(3000);
      await iteration();
    });
    expect([uncaught, log.of('failed')]).toEqual([[], Array(4).fill({ type: 'failed', error })]);
    expect(await ask(port, '/livez')).toMatchObject({ status: 200 });
    await scheduler.advance(1000);
    const headers = { authorization: `Bearer ${log.of('listening')[0]?.token}` };
    expect(await ask(port, '/connections', { headers })).toMatchObject({ status: 500 });
    events.complete();
    await log.until(({ completed }) => completed, 'its end');
    subscription.unsubscribe();
  });

  it('errors with Node’s own error if the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const { log } = AdminLog.follow(admin(NEVER, { port }));
    await log.until(({ fault }) => fault !== undefined, 'an error');
    expect(log.fault).toMatchObject({ code: 'EADDRINUSE' });
    other.close();
  });

  it('says that other machines can reach it, if they can', async () => {
    const { log, subscription } = AdminLog.follow(admin(NEVER, { port: 0, host: '0.0.0.0' }));
    const port = await log.whenListening();
    expect(log.of('listening')[0]).toMatchObject({
      isExposed: true,
      url: expect.stringContaining(`http://127.0.0.1:${port}/#token=`),
    });
    subscription.unsubscribe();
  });

  it.each<[string, AdminOptions, string]>([
    ['no port', {} as AdminOptions, 'Cannot open the admin port: port must be given'],
    ['a port that cannot be', { port: 70_000 }, 'port must be a whole number from 0 to 65535, not 70000'],
    ['an unknown option', { port: 0, hots: '' } as AdminOptions, "there is no option 'hots'"],
    ['a short token', { port: 0, token: 'secret' }, 'token must be 16 characters or more'],
    ['a token that is no token of HTTP', { port: 0, token: 'x y'.repeat(10) }, 'token must be 16 characters or more'],
    ['a name with a port', { port: 0, names: ['a:1'] }, 'names must be an array of host names'],
    ['a name that is a dot', { port: 0, names: ['.'] }, 'names must be an array of host names'],
    [
      'an unknown limit',
      { port: 0, limits: { speed: new BehaviorSubject(1) } as object },
      "there is no option 'speed'",
    ],
    [
      'a limit that is a number',
      { port: 0, limits: { idle: 5 } as object },
      'limits.idle must be a BehaviorSubject, not 5',
    ],
    [
      'metrics without a type',
      { port: 0, metrics: { metrics: async () => '' } as never },
      'metrics.contentType must be',
    ],
  ])('throws a clear sentence for %s', (_what, options, sentence) => {
    expect(() => admin(NEVER, options)).toThrow(sentence);
  });

  it('throws for events that are no Observable', () => {
    expect(() => admin([] as never, { port: 0 })).toThrow(
      'events must be an Observable of the events of serve, not []',
    );
  });
});
