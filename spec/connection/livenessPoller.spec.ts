import { once } from 'node:events';
import { defer, finalize, firstValueFrom, NEVER, ReplaySubject } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LivenessPoller } from '../../lib/connection/livenessPoller.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { quickest } from '../support/quickest.ts';
import { dialTo, openConnections } from '../support/sockets.ts';

describe('a liveness poller', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const fakePolled = (alive = true) => ({
    needsPolling: true,
    alive,
    asked: 0,
    dead: 0,
    died() {
      this.dead++;
    },
  });

  it('reports a dead connection within 25 ms, once, and no other', () => {
    const poller = new LivenessPoller();
    const [one, other] = [fakePolled(), fakePolled()];
    poller.add(one);
    poller.add(other);
    vi.advanceTimersByTime(100);
    one.alive = false;
    vi.advanceTimersByTime(25);
    expect([one.dead, other.dead]).toEqual([1, 0]);
    vi.advanceTimersByTime(1000);
    expect([one.dead, other.dead]).toEqual([1, 0]);
  });

  it('has no timer while no connection is polled', () => {
    const poller = new LivenessPoller();
    expect(vi.getTimerCount()).toBe(0);
    const one = fakePolled();
    poller.add(one);
    poller.add(one);
    expect(vi.getTimerCount()).toBe(1);
    poller.delete(one);
    vi.advanceTimersByTime(25);
    expect(vi.getTimerCount()).toBe(0);
    poller.add(one);
    expect(vi.getTimerCount()).toBe(1);
    one.alive = false;
    vi.advanceTimersByTime(25);
    expect(one.dead).toBe(1);
  });

  it('reports at most fifty dead connections in one event-loop iteration', () => {
    const poller = new LivenessPoller();
    const all = Array.from({ length: 120 }, () => fakePolled(false));
    for (const one of all) poller.add(one);
    const deaths = Array.from({ length: 3 }, () => {
      vi.advanceTimersToNextTimer();
      return all.filter(({ dead }) => dead === 1).length;
    });
    expect(deaths).toEqual([50, 100, 120]);
  });

  it('reaches every connection, however many there are', () => {
    const poller = new LivenessPoller();
    const all = Array.from({ length: 2500 }, () => fakePolled());
    for (const one of all) poller.add(one);
    for (const one of all) one.alive = false;
    vi.advanceTimersByTime(75);
    // Dead connections of the last poll may be reported in later iterations of the event loop.
    vi.advanceTimersByTime(20);
    expect(all.filter(({ dead }) => dead === 1).length).toBe(2500);
  });
});

describe.each(['handle', 'net'])('a handler on a real socket (transport: %s)', (transport) => {
  beforeEach(() => {
    vi.stubEnv('SLUICE_TRANSPORT', transport);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it.each([
    ['flows', 0],
    ['is paused', 1],
    ['is paused, with more to read behind it', 300_000],
    ['has no subscriber', -1],
    ['has no subscriber, with more to read than is kept', -300_000],
  ])('is unsubscribed within 50 ms of its peer’s reset while its input %s', async (_what, more) => {
    const timeToUnsubscribe = async () => {
      const unsubscribed = new ReplaySubject<number>(1);
      const begun = new ReplaySubject<void>(1);
      const work = () =>
        defer(() => {
          begun.next();
          return NEVER;
        }).pipe(finalize(() => unsubscribed.next(performance.now())));
      const server = await openConnections((connection) => {
        const concurrency = more === 0 ? 2 : 1;
        const replies = more < 0 ? work() : exchange(lines(), work, { concurrency })(connection);
        replies.pipe(connection.send()).subscribe();
      });
      const client = dialTo(server.address.port as number);
      await once(client, 'connect');
      client.write(`a\n${'b\n'.repeat(Math.abs(more))}`);
      await firstValueFrom(begun);
      // Long enough for the server to have read what it reads; after that it notices nothing by reading.
      for (let iterations = 0; iterations < 20; iterations++) await new Promise((resolve) => setImmediate(resolve));
      const reset = performance.now();
      client.resetAndDestroy();
      const at = await firstValueFrom(unsubscribed);
      server.port.close();
      return at - reset;
    };
    expect(await quickest(50, timeToUnsubscribe)).toBeLessThan(50);
  });
});
