import { once } from 'node:events';
import { defer, finalize, firstValueFrom, NEVER, ReplaySubject } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LivenessPoller } from '../../lib/connection/livenessPoller.ts';
import { exchange } from '../../lib/flow/exchange.ts';
import { lines } from '../../lib/framing/lines.ts';
import { quickest } from '../support/quickest.ts';
import { dialTo, openConnections } from '../support/sockets.ts';

describe('a pulse', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const patient = (alive = true) => ({
    needsPolling: true,
    alive,
    asked: 0,
    dead: 0,
    died() {
      this.dead++;
    },
  });

  it('finds the one that is dead within 25 ms, tells it once, and lets the others be', () => {
    const pulse = new LivenessPoller();
    const [one, other] = [patient(), patient()];
    pulse.add(one);
    pulse.add(other);
    vi.advanceTimersByTime(100);
    one.alive = false;
    vi.advanceTimersByTime(25);
    expect([one.dead, other.dead]).toEqual([1, 0]);
    vi.advanceTimersByTime(1000);
    expect([one.dead, other.dead]).toEqual([1, 0]);
  });

  it('has no timer while nobody is watched', () => {
    const pulse = new LivenessPoller();
    expect(vi.getTimerCount()).toBe(0);
    const one = patient();
    pulse.add(one);
    pulse.add(one);
    expect(vi.getTimerCount()).toBe(1);
    pulse.delete(one);
    vi.advanceTimersByTime(25);
    expect(vi.getTimerCount()).toBe(0);
    pulse.add(one);
    expect(vi.getTimerCount()).toBe(1);
    one.alive = false;
    vi.advanceTimersByTime(25);
    expect(one.dead).toBe(1);
  });

  it('comes to everyone, however many they are', () => {
    const pulse = new LivenessPoller();
    const all = Array.from({ length: 2500 }, () => patient());
    for (const one of all) pulse.add(one);
    for (const one of all) one.alive = false;
    vi.advanceTimersByTime(75);
    // Those of the last look that are left for later iterations of the event loop.
    vi.advanceTimersByTime(20);
    expect(all.filter(({ dead }) => dead === 1).length).toBe(2500);
  });
});

describe.each(['shared', 'data'])('a handler on a real socket, with %s reads', (reads) => {
  beforeEach(() => {
    vi.stubEnv('SLUICE_READS', reads);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it.each([
    ['flows', 0],
    ['is held back', 1],
    ['is held back, with more to read behind it', 300_000],
    ['is not subscribed', -1],
    ['is not subscribed, with more to read than is kept', -300_000],
  ])('is let go of within 50 ms of its peer’s reset while its input %s', async (_what, more) => {
    const letGo = async () => {
      const gone = new ReplaySubject<number>(1);
      const begun = new ReplaySubject<void>(1);
      const work = () =>
        defer(() => {
          begun.next();
          return NEVER;
        }).pipe(finalize(() => gone.next(performance.now())));
      const server = await openConnections((connection) => {
        const concurrency = more === 0 ? 2 : 1;
        const replies = more < 0 ? work() : exchange(lines(), work, { concurrency })(connection);
        replies.pipe(connection.send()).subscribe();
      });
      const client = dialTo(server.address.port as number);
      await once(client, 'connect');
      client.write(`a\n${'b\n'.repeat(Math.abs(more))}`);
      await firstValueFrom(begun);
      // Until the server has noticed nothing for a while, as it is not reading.
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
      const reset = performance.now();
      client.resetAndDestroy();
      const at = await firstValueFrom(gone);
      server.port.close();
      return at - reset;
    };
    expect(await quickest(50, letGo)).toBeLessThan(50);
  });
});
