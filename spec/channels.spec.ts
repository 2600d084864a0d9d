import { type ChannelListener, channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EMPTY, map, mergeMap, Subject } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { EventChannels } from '../lib/channels.ts';
import {
  type ChannelMessage,
  type Connection,
  encodeLine,
  lines,
  listen,
  type ServeOptions,
  type ServerEvent,
  serve,
} from '../lib/index.ts';
import { MemoryNetwork } from '../lib/testing/index.ts';
import { Clock } from './support/clock.ts';
import { Log } from './support/log.ts';
import { uncaughtWhile } from './support/uncaught.ts';

/** The compiler asks for each type of event. */
const types = Object.keys({
  ...{ listening: 1, opened: 1, closed: 1, refused: 1, failed: 1, exhausted: 1, recovered: 1, overcommitted: 1 },
  ...{ certificate: 1, hoarding: 1, progress: 1, draining: 1, drained: 1 },
} satisfies Record<ServerEvent['type'], 1>) as ServerEvent['type'][];

let subscribed: [string, ChannelListener][] = [];

function hear(type: ServerEvent['type'], listener: (message: ChannelMessage) => void): void {
  const one: [string, ChannelListener] = [`sluice.${type}`, listener as ChannelListener];
  subscribed.push(one);
  subscribe(...one);
}

/** Subscribes to all channels. */
function hearAll(): ChannelMessage[] {
  const messages: ChannelMessage[] = [];
  for (const type of types) hear(type, (message) => messages.push(message));
  return messages;
}

afterEach(() => {
  for (const one of subscribed) unsubscribe(...one);
  subscribed = [];
});

async function open(options: ServeOptions = {}) {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  const shutdown = new Subject<void>();
  const own = { transport: network.transport, scheduler: clock, shutdown };
  const log = Log.follow(serve({ port: 0 }, (client) => client.pipe(lines(), map(encodeLine)), { ...own, ...options }));
  await clock.settle();
  return { clock, network, shutdown, log };
}

describe('the channels of node:diagnostics_channel', () => {
  it('receive all events of serve, in their order, each once and as the same object', async () => {
    const messages = hearAll();
    const { clock, network, shutdown, log } = await open({ concurrency: 1, waiting: { max: 0 }, report: 100 });
    const client = network.connect();
    network.connect();
    await clock.advance(250);
    client.write(new Uint8Array(100_000)).end();
    await clock.settle();
    shutdown.next();
    await clock.advance(20_000);
    expect(log.completed).toBe(true);
    const seen = ['listening', 'opened', 'refused', 'progress', 'closed', 'draining', 'drained'];
    expect(log.types).toEqual(expect.arrayContaining(seen));
    expect(messages.length).toBe(log.events.length);
    for (const [i, { event }] of messages.entries()) expect(event).toBe(log.events[i]);
  });

  it('receive the failure of a handler, and that of a function among the options', async () => {
    const failures: unknown[] = [];
    hear('failed', ({ event }) => failures.push('error' in event && String(event.error)));
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const fail = () => {
      throw new Error('no');
    };
    const options = {
      transport: network.transport,
      scheduler: clock,
      concurrency: 1,
      waiting: { max: 0 },
      farewell: fail,
    };
    const log = Log.follow(serve({ port: 0 }, (client) => client.pipe(map(fail)), options));
    await clock.settle();
    network.connect().write('x');
    network.connect();
    await clock.settle();
    expect(failures.sort()).toEqual(['Error: no', 'Error: no']);
    log.subscription?.unsubscribe();
  });

  it('tell the servers of a process apart, and name where each listens', async () => {
    const messages = hearAll();
    const one = await open();
    const two = await open();
    one.network.connect();
    await one.clock.settle();
    two.network.connect();
    await two.clock.settle();
    const [first, second, third, fourth] = messages.map(({ server }) => server);
    expect(third).toBe(first);
    expect(fourth).toBe(second);
    expect(second).not.toBe(first);
    expect(first).toEqual({ where: { port: 0 }, address: { address: 'memory', port: 0 } });
    one.log.subscription?.unsubscribe();
    two.log.subscription?.unsubscribe();
  });

  it('come before the subscribers of the events', async () => {
    const order: string[] = [];
    hear('listening', () => order.push('channel'));
    const clock = new Clock();
    const { transport } = new MemoryNetwork(clock);
    const server = serve({ port: 0 }, (client) => client, { transport, scheduler: clock });
    const subscription = server.subscribe(() => order.push('subscriber'));
    await clock.settle();
    expect(order).toEqual(['channel', 'subscriber']);
    subscription.unsubscribe();
  });

  it('receive those of a server that is unsubscribed, so that each `opened` has a `closed`', async () => {
    const messages = hearAll();
    const { clock, network, log } = await open();
    network.connect();
    await clock.settle();
    log.subscription?.unsubscribe();
    await clock.settle();
    expect(messages.map(({ event }) => event.type)).toEqual(['listening', 'opened', 'closed']);
  });

  it.each(['without an observer of its events', 'with one'])('receive the events of listen %s', async (how) => {
    const messages = hearAll();
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const events = new Subject<ServerEvent>();
    const log = Log.follow(events);
    const options = { transport: network.transport, scheduler: clock, ...(how === 'with one' && { events }) };
    const handler = (client: Connection) =>
      client.pipe(
        mergeMap(() => EMPTY),
        client.send(),
      );
    const port = listen({ port: 0 }, options).pipe(mergeMap(handler)).subscribe();
    await clock.settle();
    network.connect().end();
    await clock.settle();
    expect(messages.map(({ event }) => event.type)).toEqual(['listening', 'opened', 'closed']);
    expect(log.types).toEqual(how === 'with one' ? ['listening', 'opened', 'closed'] : []);
    port.unsubscribe();
  });

  it('disturb neither the server nor other subscribers when one throws: Node reports that as uncaught', async () => {
    const throws = vi.fn(() => {
      throw new Error('an agent that fails');
    });
    for (const type of types) hear(type, throws);
    const messages = hearAll();
    let log: Log | undefined;
    const thrown = await uncaughtWhile(async () => {
      const { clock, network, shutdown, log: events } = await open();
      log = events;
      const client = network.connect();
      client.write('hello\n').end();
      await clock.settle();
      expect(client.text).toBe('hello\n');
      shutdown.next();
      await clock.advance(20_000);
      await new Promise((resolve) => setImmediate(resolve));
    });
    expect(log?.completed).toBe(true);
    expect(messages.map(({ event }) => event)).toEqual(log?.events);
    expect(thrown).toEqual(throws.mock.calls.map(() => 'an agent that fails'));
    expect(thrown.length).toBeGreaterThan(3);
  });

  it('may be where a connection is aborted, as soon as it is opened', async () => {
    const { clock, network, log } = await open();
    hear('opened', () => {
      for (const connection of log.of('listening')[0]?.connections ?? []) connection.abort('unwanted');
    });
    const client = network.connect();
    await clock.settle();
    expect(client.reset).toBe(true);
    expect(log.of('closed')).toMatchObject([{ reason: 'aborted', detail: 'unwanted' }]);
    log.subscription?.unsubscribe();
  });

  it('are not published to without a subscriber', () => {
    const spies = types.map((type) => vi.spyOn(channel(`sluice.${type}`), 'publish'));
    const channels = new EventChannels({ port: 0 });
    for (const type of types) {
      expect(EventChannels.hasSubscribers(type)).toBe(false);
      channels.publish({ type } as ServerEvent);
    }
    for (const spy of spies) {
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
    }
  });

  it('have handlers observed for hoarding with listen, although nothing else observes its events', async () => {
    hear('hoarding', () => {});
    const measured = await isMeasured();
    for (const one of subscribed) unsubscribe(...one);
    expect([measured, await isMeasured()]).toEqual([true, false]);
  });
});

/** Whether a connection of `listen` is measured for the event `hoarding`. */
async function isMeasured(): Promise<boolean> {
  const clock = new Clock();
  const network = new MemoryNetwork(clock);
  let is: boolean | undefined;
  const port = listen({ port: 0 }, { transport: network.transport, scheduler: clock }).subscribe((connection) => {
    is = !(connection as unknown as { usage: { isUnmeasured: boolean } }).usage.isUnmeasured;
    connection.abort();
  });
  await clock.settle();
  network.connect();
  await clock.settle();
  port.unsubscribe();
  return is === true;
}
