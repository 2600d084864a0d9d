import { describe, expect, it } from 'vitest';
import type { ListenEvent } from '../../lib/events.ts';
import { Admission } from '../../lib/listen/admission.ts';
import { descriptorLimit } from '../../lib/listen/descriptorLimit.ts';
import { serve } from '../../lib/serve.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import type { Transport, TransportSocket } from '../../lib/transport/transport.ts';
import { accepting } from '../support/accepting.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';

/** With 1024 descriptors, of which 32 are kept: a connection with descriptor 992 or above is refused. */
function admission() {
  const clock = new Clock();
  const budget = { isPastHardLimit: false };
  const registry = { open: 900 };
  const events: ListenEvent[] = [];
  const one = new Admission({ clock, budget, registry }, (event) => events.push(event), {}, 1024);
  const refusal = (descriptor: number | undefined) => one.refusal({ descriptor } as TransportSocket);
  return { admission: one, budget, registry, events, refusal };
}

describe('the checks at accept', () => {
  it.each([
    ['descriptors are low and the budget is exhausted', 992, true, 'exhausted'],
    ['descriptors are low', 992, false, 'exhausted'],
    ['the budget is exhausted', 991, true, 'budget'],
    ['the budget is exhausted and the transport has no descriptors', undefined, true, 'budget'],
    ['neither', 991, false, undefined],
    ['the transport has no descriptors', undefined, false, undefined],
  ])('the first one in the order that refuses decides: %s', (_what, descriptor, isPastHardLimit, reason) => {
    const { budget, refusal } = admission();
    budget.isPastHardLimit = isPastHardLimit;
    expect(refusal(descriptor)).toBe(reason);
  });

  it('do not run after the one that refuses', () => {
    const { budget, refusal } = admission();
    let asked = 0;
    Object.defineProperty(budget, 'isPastHardLimit', { get: () => asked++ > 0 });
    expect(refusal(992)).toBe('exhausted');
    expect(asked).toBe(0);
    expect(refusal(991)).toBeUndefined();
    expect(asked).toBe(1);
  });

  it('count a connection that the budget refuses as one with a free descriptor, and not as refused for its descriptor', () => {
    const { budget, events, refusal } = admission();
    budget.isPastHardLimit = true;
    expect([refusal(992), refusal(993)]).toEqual(['exhausted', 'exhausted']);
    for (let count = 0; count < 32; count++) expect(refusal(40)).toBe('budget');
    expect(events).toEqual([
      { type: 'exhausted', limit: 1024 },
      { type: 'recovered', refused: 2, duration: 0 },
    ]);
  });

  it('end a shortage of descriptors when enough connections have closed', () => {
    const { admission: one, registry, events, refusal } = admission();
    refusal(992);
    registry.open = 869;
    one.closed();
    expect(events).toHaveLength(1);
    registry.open = 868;
    one.closed();
    expect(events).toMatchObject([{ type: 'exhausted' }, { type: 'recovered', refused: 1 }]);
  });
});

/** A network whose sockets have the given descriptor. */
const withDescriptor = (network: Transport, descriptor: number): Transport =>
  accepting(network, (socket, accept) => accept(Object.defineProperty(socket, 'descriptor', { value: descriptor })));

it.skipIf(descriptorLimit() === Number.POSITIVE_INFINITY)(
  'a server counts each refusal at accept once, sends no farewell without descriptors, and hands out none of the refused',
  async () => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const log = new Log();
    let handled = 0;
    const handler = () => {
      handled++;
      return [];
    };
    const transport = withDescriptor(network.transport, descriptorLimit() - 32);
    serve({ port: 0 }, handler, { transport, scheduler: clock, farewell: 'later\n' }).subscribe(log);
    await clock.settle();
    const clients = Array.from({ length: 5 }, () => network.connect());
    await clock.settle();
    expect(log.refusals).toEqual(Array(5).fill('exhausted'));
    expect(log.counters).toEqual({ accepted: 5, waiting: 0, active: 0, closed: 0, refused: 5 });
    expect(log.of('exhausted')).toEqual([{ type: 'exhausted', limit: descriptorLimit() }]);
    expect(clients.map(({ text, over }) => [text, over])).toEqual(Array(5).fill(['', true]));
    expect([handled, network.sockets.size]).toEqual([0, 0]);
  },
);
