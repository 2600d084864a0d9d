import { BehaviorSubject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { descriptorLimit } from '../../lib/listen/descriptorLimit.ts';
import { CurrentLimits, defaultLimits } from '../../lib/listen/limits.ts';
import { TestServer } from '../support/testServer.ts';

describe('the limits of a server by default', () => {
  it.each([
    [Number.POSITIVE_INFINITY, 1000, 1000],
    [1_048_576, 1000, 1000],
    [2349, 1000, 285],
    [2348, 999, 285],
    [1024, 420, 120],
    [256, 84, 24],
    [65, 1, 0],
    [64, 1, 0],
    [10, 1, 0],
  ])(
    'with %d descriptors are %d that are served, as many that wait, and %d that linger',
    (descriptors, places, lingering) => {
      expect(defaultLimits(descriptors)).toEqual({ concurrency: places, waiting: places, lingering });
    },
  );

  it.each([100, 256, 1000, 1024, 4096, 65_536])('with %d descriptors are not overcommitted', (descriptors) => {
    const { concurrency, waiting } = defaultLimits(descriptors);
    const limits = new CurrentLimits({ value: concurrency }, { value: waiting }, descriptors);
    expect(limits.overcommitted()).toBeUndefined();
  });
});

describe('limits that allow more connections than there are descriptors', () => {
  it('are told once, and again after they were lowered', () => {
    const [concurrency, waiting] = [{ value: 500 }, { value: 436 }];
    const limits = new CurrentLimits(concurrency, waiting, 1000);
    expect(limits.overcommitted()).toBeUndefined();
    waiting.value = 437;
    expect(limits.overcommitted()).toEqual({ type: 'overcommitted', concurrency: 500, waiting: 437, limit: 1000 });
    concurrency.value = 600;
    expect(limits.overcommitted()).toBeUndefined();
    concurrency.value = 1;
    expect(limits.overcommitted()).toBeUndefined();
    concurrency.value = 2000;
    expect(limits.overcommitted()).toMatchObject({ concurrency: 2000 });
  });

  it('are not known with `listen`, where operators decide how many are served', () => {
    expect(new CurrentLimits(undefined, { value: 5000 }, 1000).overcommitted()).toBeUndefined();
  });

  it.skipIf(descriptorLimit() === Number.POSITIVE_INFINITY)('are an event of a server', async () => {
    const concurrency = new BehaviorSubject(1);
    const server = await TestServer.open((connection) => connection, { concurrency, waiting: { max: 1 } });
    for (const value of [descriptorLimit(), descriptorLimit() + 1, 1, descriptorLimit()]) concurrency.next(value);
    const event = { type: 'overcommitted', concurrency: descriptorLimit(), waiting: 1, limit: descriptorLimit() };
    expect(server.log.events.slice(1)).toEqual([event, event]);
    server.log.subscription?.unsubscribe();
  });
});

it('the limits of the event `listening` are those that hold', async () => {
  const [concurrency, max] = [new BehaviorSubject(1), new BehaviorSubject(2)];
  const server = await TestServer.open((connection) => connection, { concurrency, waiting: { max }, overflow: 'park' });
  const { limits } = server.log.of('listening')[0] ?? {};
  const read = () => [limits?.concurrency, limits?.waiting, limits?.isParked];
  expect(read()).toEqual([1, 2, false]);
  await server.connectAll(3);
  expect(read()).toEqual([1, 2, true]);
  concurrency.next(3);
  max.next(5);
  await server.clock.settle();
  expect(read()).toEqual([3, 5, false]);
  expect(limits?.isClosed).toBe(false);
  await server.signal();
  expect([limits?.isClosed, limits?.concurrency]).toEqual([true, 3]);
});

it('the event `listening` has limits and connections that print as their values of now', async () => {
  const concurrency = new BehaviorSubject(1);
  const waiting = { max: 2 };
  const server = await TestServer.open((connection) => connection, { concurrency, waiting, overflow: 'park' });
  const { limits, connections } = server.log.of('listening')[0] ?? {};
  const printed = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  expect([printed(limits), printed(connections)]).toEqual([
    { concurrency: 1, waiting: 2, isParked: false, isClosed: false },
    [],
  ]);
  await server.connectAll(3);
  expect(printed(limits)).toEqual({ concurrency: 1, waiting: 2, isParked: true, isClosed: false });
  concurrency.next(7);
  await server.clock.settle();
  expect(printed(limits)).toEqual({ concurrency: 7, waiting: 2, isParked: false, isClosed: false });
  expect(connections?.size).toBe(3);
  expect(printed(connections)).toEqual(printed(connections?.rows()));
  expect(printed({ limits, connections })).toMatchObject({
    limits: { concurrency: 7 },
    connections: [{ id: 1 }, {}, {}],
  });
  server.log.subscription?.unsubscribe();
});
