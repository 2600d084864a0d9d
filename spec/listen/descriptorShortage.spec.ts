import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ExhaustedEvent, RecoveredEvent } from '../../lib/events.ts';
import { descriptorLimit } from '../../lib/listen/descriptorLimit.ts';
import { DescriptorShortage } from '../../lib/listen/descriptorShortage.ts';
import { serve } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { accepting } from '../support/accepting.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

/** With 1024 descriptors, of which 32 are reserved: 992 is the first that is refused, and the margin is 32. */
function shortage() {
  const clock = new Clock();
  const events: (ExhaustedEvent | RecoveredEvent)[] = [];
  return { clock, events, shortage: new DescriptorShortage(1024, clock, (event) => events.push(event)) };
}

describe('a shortage of descriptors', () => {
  it('emits one event at its begin and one at its end, with the number of refused connections and its duration', () => {
    const { clock, events, shortage: one } = shortage();
    expect(one.refuses(991, 900)).toBe(false);
    expect(one.refuses(992, 901)).toBe(true);
    clock.jump(500);
    expect(one.refuses(1000, 901)).toBe(true);
    for (let count = 0; count < 32; count++) expect(one.refuses(40 + count, 901 + count)).toBe(false);
    expect(events).toEqual([
      { type: 'exhausted', limit: 1024 },
      { type: 'recovered', refused: 2, duration: 500 },
    ]);
  });

  it('neither ends nor begins again while the descriptors in use vary around the limit', () => {
    const { events, shortage: one } = shortage();
    for (let round = 0; round < 10_000; round++) {
      expect(one.refuses(992, 900)).toBe(true);
      one.closed(899);
      for (let count = 0; count < round % 32; count++) expect(one.refuses(40, 899)).toBe(false);
    }
    expect(events).toEqual([{ type: 'exhausted', limit: 1024 }]);
  });

  it('ends when enough connections have closed, without a further connect', () => {
    const { events, shortage: one } = shortage();
    one.refuses(992, 900);
    one.closed(869);
    expect(events).toHaveLength(1);
    one.closed(868);
    one.closed(867);
    expect(events.map(({ type }) => type)).toEqual(['exhausted', 'recovered']);
  });

  it('begins and ends alternately, and refuses each descriptor in the reserve, in whatever order connections come and go', () => {
    const step = fc.oneof(
      fc.record({ descriptor: fc.nat(1100), open: fc.nat(1000) }),
      fc.record({ open: fc.nat(1000) }),
    );
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const { events, shortage: one } = shortage();
        for (const { open, ...at } of steps) {
          if ('descriptor' in at) expect(one.refuses(at.descriptor, open)).toBe(at.descriptor >= 992);
          else one.closed(open);
        }
        for (const [index, { type }] of events.entries()) expect(type).toBe(index % 2 ? 'recovered' : 'exhausted');
      }),
    );
  });
});

/** A network whose sockets have descriptors: each has the lowest free number from `first` on, as the system assigns them. */
function numbered(network: Transport, first: number): Transport {
  const used = new Set<number>();
  return accepting(network, (socket, accept) => {
    let descriptor = first;
    while (used.has(descriptor)) descriptor++;
    used.add(descriptor);
    Object.defineProperty(socket, 'descriptor', { value: descriptor });
    accept(socket);
    const { handler: given } = socket;
    socket.handler = new Proxy(given, {
      get(target, key) {
        if (key === 'freed') used.delete(descriptor);
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  });
}

it.skipIf(descriptorLimit() === Number.POSITIVE_INFINITY)(
  'a server emits one shortage for 20 000 connects of clients that come and go around its limit',
  async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const log = new Log();
    // 200 descriptors are left when the first client comes.
    const transport = numbered(network.transport, descriptorLimit() - 32 - 200);
    serve({ port: 0 }, (connection) => connection, { transport, scheduler: clock }).subscribe(log);
    await clock.settle();
    let clients = Array.from({ length: 250 }, () => network.connect());
    for (let round = 0; round < 400; round++) {
      // Some of the served clients leave, and more connect.
      for (const one of clients.splice(0, 20)) one.break();
      clients.push(...Array.from({ length: 50 }, () => network.connect()));
      await clock.settle();
      clients = clients.filter(({ over }) => !over);
    }
    expect(log.of('exhausted')).toHaveLength(1);
    expect(log.of('recovered')).toHaveLength(0);
    for (const one of clients) one.break();
    await clock.settle();
    expect(log.of('recovered')).toMatchObject([{ refused: log.refusals.length }]);
    expect(log.counters.accepted).toBe(20_250);
  },
);
