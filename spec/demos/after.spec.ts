import { firstValueFrom, NEVER, Observable, type Subscription } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Ingest } from '../../demos/ingest/ingest.ts';
import type { Store } from '../../demos/ingest/stores/store.ts';
import type { Backend } from '../../demos/proxy/backend.ts';
import { Balancer } from '../../demos/proxy/balancer.ts';
import { watchHealth } from '../../demos/proxy/health.ts';
import { after, every } from '../../demos/support/index.ts';

const DAY = 86_400_000;
/** One more than the longest delay of a Node timer. */
const LONG = 2 ** 31;
const NEVER_OVER = Number.POSITIVE_INFINITY;

// A fake timer with too long a delay fires at once, as a real one does.
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Records the times at which a source emits, and `|` when it completes. */
function times(source: Observable<unknown>): { readonly at: (number | '|')[]; readonly subscription: Subscription } {
  const began = Date.now();
  const at: (number | '|')[] = [];
  const subscription = source.subscribe({ next: () => at.push(Date.now() - began), complete: () => at.push('|') });
  return { at, subscription };
}

describe('after', () => {
  it.each([1, 5000, LONG - 1, LONG, 3_000_000_000, 3 * LONG])('emits once and completes after %d ms', (time) => {
    const { at } = times(after(time));
    vi.advanceTimersByTime(time - 1);
    expect(at).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(at).toEqual([time, '|']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('never emits after Infinity', () => {
    const { at } = times(after(NEVER_OVER));
    vi.advanceTimersByTime(100 * DAY);
    expect(at).toEqual([]);
  });

  it('leaves no timer behind when it is unsubscribed', () => {
    const { subscription } = times(after(3 * LONG));
    vi.advanceTimersByTime(LONG + 1);
    subscription.unsubscribe();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('every', () => {
  it.each([1000, LONG - 1, LONG, 3_000_000_000])('emits at once, and then every %d ms', (time) => {
    const { at, subscription } = times(every(time));
    vi.advanceTimersByTime(2 * time + 1);
    subscription.unsubscribe();
    expect(at).toEqual([0, time, 2 * time]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('emits once with Infinity', () => {
    const { at } = times(every(NEVER_OVER));
    vi.advanceTimersByTime(100 * DAY);
    expect(at).toEqual([0]);
  });
});

describe('a demo with a time longer than a Node timer can hold', () => {
  it.each([3_000_000_000, NEVER_OVER])('keeps a client of the proxy waiting for %d ms', (wait) => {
    const full = { up: true, hasRoom: false } as Backend;
    const errors: unknown[] = [];
    new Balancer([full], wait).connect().subscribe({ error: (error) => errors.push(error) });
    vi.advanceTimersByTime(30 * DAY);
    expect(errors).toEqual([]);
    vi.advanceTimersByTime(30 * DAY);
    expect(errors).toHaveLength(wait === NEVER_OVER ? 0 : 1);
  });

  it.each([3_000_000_000, NEVER_OVER])('checks the backends of the proxy every %d ms', (interval) => {
    let probes = 0;
    const probe = new Observable<never>((to) => {
      probes++;
      to.complete();
    });
    const watching = watchHealth({ probe } as Partial<Backend> as Backend, {
      interval,
      timeout: 1000,
      proxyProtocol: false,
    }).subscribe();
    vi.advanceTimersByTime(30 * DAY);
    expect(probes).toBe(1);
    vi.advanceTimersByTime(30 * DAY);
    expect(probes).toBe(interval === NEVER_OVER ? 1 : 2);
    watching.unsubscribe();
  });

  it.each([3_000_000_000, NEVER_OVER])(
    'gives the ingest %d ms to store the readings it has accepted',
    async (grace) => {
      let stored = (_: readonly boolean[]): void => {};
      const store: Store = {
        name: 'a slow store',
        readings: () =>
          new Promise<readonly boolean[]>((resolve) => {
            stored = resolve;
          }),
        windows: (batch) => Promise.resolve(batch.map(() => true)),
        close: () => Promise.resolve(),
      };
      const ingest = new Ingest(store);
      const acknowledged = firstValueFrom(ingest.store({ device: 'd', seq: 1, at: 0, value: 1 }));
      await vi.advanceTimersByTimeAsync(10);
      const closing = ingest.close(grace, NEVER);
      await vi.advanceTimersByTimeAsync(5 * 60_000);
      stored([true]);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(await acknowledged).toBe(true);
      expect(await closing).toMatchObject({ stored: 1, unstored: 0 });
    },
  );
});
