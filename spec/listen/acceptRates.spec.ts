import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AcceptRates, type AcceptRatesOptions } from '../../lib/listen/acceptRates.ts';
import { TokenBucket } from '../../lib/listen/tokenBucket.ts';
import { Clock } from '../support/clock.ts';

const INFINITY = Number.POSITIVE_INFINITY;

function rates(options: Partial<Omit<AcceptRatesOptions, 'clock'>>) {
  const clock = new Clock();
  const perSecond = { value: INFINITY };
  const all = { perSecond, burst: undefined, perAddress: undefined, ramp: 0, ...options };
  const made = new AcceptRates({ ...all, clock });
  made.open();
  return { clock, rates: made };
}

/** Attempts: milliseconds since the one before, and the peer. */
const attempts = (peers: number) =>
  fc.array(fc.tuple(pause, fc.nat(peers - 1).map(String)), { minLength: 20, maxLength: 120 });
const pause = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.nat(50) },
  { weight: 1, arbitrary: fc.nat(2000) },
);

/** The most that came in any window, less what is allowed there. Each window begins with one that was accepted. */
function excess(times: readonly number[], perSecond: number, burst: number): number {
  let most = -INFINITY;
  times.forEach((from, first) => {
    times.slice(first).forEach((to, count) => {
      most = Math.max(most, count + 1 - burst - (perSecond * (to - from)) / 1000);
    });
  });
  return most;
}

const aRate = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.double({ min: 0.1, max: 100, noNaN: true }));

describe('a rate of all peers', () => {
  it('lets in as many in any window as it says, and refuses none below that', () => {
    let refused = 0;
    fc.assert(
      fc.property(aRate, fc.option(fc.integer({ min: 1, max: 20 })), attempts(3), (perSecond, given, all) => {
        const burst = given ?? Math.max(1, perSecond);
        const { clock, rates: one } = rates({ perSecond: { value: perSecond }, burst: given ?? undefined });
        const accepted: number[] = [];
        let tokens = burst;
        for (const [ms, peer] of all) {
          clock.jump(ms);
          tokens = Math.min(burst, tokens + (ms * perSecond) / 1000);
          const reason = one.take(peer);
          if (Math.abs(tokens - 1) > 1e-6) expect(reason).toBe(tokens >= 1 ? undefined : 'rate');
          if (reason === undefined) {
            tokens--;
            accepted.push(clock.now());
          } else {
            refused++;
            expect(one.wait('rate', peer)).toBeCloseTo(((1 - tokens) * 1000) / perSecond, 3);
          }
        }
        expect(excess(accepted, perSecond, burst)).toBeLessThan(1e-6);
      }),
    );
    expect(refused).toBeGreaterThan(200);
  });

  it('refuses none without a limit, whatever may come at once', () => {
    for (const burst of [undefined, 1, 5]) {
      const { rates: one } = rates({ burst });
      const reasons = Array.from({ length: 100 }, () => one.take('a'));
      expect(new Set(reasons)).toEqual(new Set([undefined]));
    }
  });

  it('lets no connection in while it is 0, and says that a wait does not help', () => {
    const { clock, rates: one } = rates({ perSecond: { value: 0 } });
    expect(one.take('a')).toBe('rate');
    clock.jump(1e9);
    expect([one.take('a'), one.wait('rate', 'a')]).toEqual(['rate', INFINITY]);
  });

  it('holds as it is now: what was saved at a higher rate is lost, and none waits for a lower one', () => {
    const perSecond = { value: 100 };
    const { clock, rates: one } = rates({ perSecond });
    const count = () => {
      let accepted = 0;
      while (accepted < 10_000 && one.take('a') === undefined) accepted++;
      return accepted;
    };
    perSecond.value = 10;
    expect(count()).toBe(10);
    perSecond.value = 1000;
    expect(count()).toBe(0);
    clock.jump(500);
    expect(count()).toBe(500);
    perSecond.value = 0;
    clock.jump(500);
    expect(count()).toBe(0);
    perSecond.value = INFINITY;
    expect(count()).toBe(10_000);
    perSecond.value = 3;
    expect(count()).toBe(3);
  });

  it('grows from nothing within the ramp: half of the tokens come in it, and never more than the rate so far', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 200 }), fc.integer({ min: 1000, max: 20_000 }), (perSecond, ramp) => {
        const { clock, rates: one } = rates({ perSecond: { value: perSecond }, ramp });
        let accepted = 0;
        for (let now = 0; now <= ramp; now += 5) {
          while (one.take('a') === undefined) accepted++;
          expect(accepted).toBeLessThanOrEqual(2 + (perSecond * now * now) / (2000 * ramp));
          clock.jump(5);
        }
        expect(accepted).toBeGreaterThanOrEqual((perSecond * ramp) / 2000 - 2);
        const [before, began] = [accepted, clock.now()];
        for (let i = 0; i < 200; i++) {
          clock.jump(5);
          while (one.take('a') === undefined) accepted++;
        }
        const expected = ((clock.now() - began) * perSecond) / 1000;
        expect(Math.abs(accepted - before - expected)).toBeLessThanOrEqual(2);
      }),
      { numRuns: 15 },
    );
  });

  it('saves no more in a ramp than its share of the burst', () => {
    const { clock, rates: one } = rates({ perSecond: { value: 100 }, burst: 40, ramp: 10_000 });
    clock.jump(5000);
    let accepted = 0;
    while (one.take('a') === undefined) accepted++;
    expect(accepted).toBe(20);
  });
});

describe('a rate that has no value before the port is open', () => {
  it.each([0, 1000])('holds from then on, as well as its burst, with a ramp of %i ms', (ramp) => {
    const perSecond = { value: undefined as unknown as number };
    const clock = new Clock();
    const one = new AcceptRates({ clock, perSecond, burst: undefined, perAddress: undefined, ramp });
    clock.jump(10_000);
    perSecond.value = 10;
    one.open();
    const reasons = Array.from({ length: 11 }, () => one.take('a'));
    const come = ramp ? 1 : 10;
    expect(reasons).toEqual([...Array(come).fill(undefined), ...Array(11 - come).fill('rate')]);
    clock.jump(500);
    const more = Array.from({ length: 6 }, () => one.take('a'));
    const later = ramp ? 1 : 5;
    expect(more).toEqual([...Array(later).fill(undefined), ...Array(6 - later).fill('rate')]);
  });

  it('begins with the first connection, if a transport does not say that the port is open', () => {
    const clock = new Clock();
    const one = new AcceptRates({ clock, perSecond: { value: 2 }, burst: undefined, perAddress: undefined, ramp: 0 });
    expect([one.take('a'), one.take('a'), one.take('a')]).toEqual([undefined, undefined, 'rate']);
  });
});

describe('a rate of each peer', () => {
  it('holds for each alone, and a peer that has no tokens takes none of all', () => {
    fc.assert(
      fc.property(aRate, fc.integer({ min: 1, max: 10 }), attempts(4), fc.integer({ min: 1, max: 20 }), (...given) => {
        const [perSecond, burst, all, allBurst] = given;
        const rate = { perSecond: { value: perSecond }, burst };
        const { clock, rates: one } = rates({ perSecond: { value: 1 }, burst: allBurst, perAddress: rate });
        const tokens = new Map<string, number>();
        const accepted = new Map<string, number[]>();
        let ofAll = allBurst;
        for (const [ms, peer] of all) {
          clock.jump(ms);
          ofAll = Math.min(allBurst, ofAll + ms / 1000);
          for (const [key, own] of tokens) tokens.set(key, Math.min(burst, own + (ms * perSecond) / 1000));
          const own = tokens.get(peer) ?? burst;
          const reason = one.take(peer);
          if (Math.abs(own - 1) < 1e-6 || Math.abs(ofAll - 1) < 1e-6) return;
          expect(reason).toBe(own < 1 ? 'rate-per-address' : ofAll < 1 ? 'rate' : undefined);
          tokens.set(peer, own - (reason ? 0 : 1));
          if (reason === undefined) {
            ofAll--;
            accepted.set(peer, [...(accepted.get(peer) ?? []), clock.now()]);
          } else if (reason === 'rate-per-address') {
            expect(one.wait(reason, peer)).toBeCloseTo(((1 - own) * 1000) / perSecond, 3);
          }
        }
        for (const times of accepted.values()) expect(excess(times, perSecond, burst)).toBeLessThan(1e-6);
      }),
    );
  });

  it('remembers 16 384 peers, and forgets the one that was used least recently', () => {
    const { rates: one } = rates({ perAddress: { perSecond: { value: 1 }, burst: 1 } });
    for (let peer = 0; peer < 16_384; peer++) expect(one.take(`${peer}`)).toBeUndefined();
    expect(one.take('0')).toBe('rate-per-address');
    for (let peer = 16_384; peer < 40_000; peer++) {
      one.take(`${peer}`);
      if (peer % 1000 === 0) expect(one.take('0')).toBe('rate-per-address');
    }
    expect(one.peers).toBe(16_384);
    expect([one.take('0'), one.take('1')]).toEqual(['rate-per-address', undefined]);
  });

  it('does not hold for a peer without an address', () => {
    const { rates: one } = rates({ perAddress: { perSecond: { value: 0 }, burst: undefined } });
    expect([one.take(undefined), one.take('a'), one.peers]).toEqual([undefined, 'rate-per-address', 1]);
  });
});

describe('a token bucket', () => {
  it('has a token when all parts of it have come, though their sum is a little less', () => {
    const bucket = new TokenBucket(0, 0);
    for (let i = 1; i <= 10; i++) bucket.fill(100 * i, { perSecond: 1, burst: 1 });
    expect(bucket.isEmpty).toBe(false);
  });

  it('takes nothing away, and gives nothing, if the clock goes back', () => {
    const bucket = new TokenBucket(2, 1000);
    bucket.fill(0, { perSecond: 1, burst: 5 });
    bucket.take();
    bucket.take();
    expect(bucket.isEmpty).toBe(true);
    bucket.fill(1000, { perSecond: 1, burst: 5 });
    expect(bucket.isEmpty).toBe(false);
  });
});
