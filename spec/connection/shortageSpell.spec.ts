import { describe, expect, it } from 'vitest';
import { type Evictable, type ScarceMemory, ShortageSpell } from '../../lib/connection/shortageSpell.ts';
import { Clock } from '../support/clock.ts';

interface Held {
  readonly weight: number;
  /** Whether its peer is slow. Otherwise it waits for its handler. */
  readonly slow?: boolean;
  readonly holdsPartOfFrame?: boolean;
}

/** A shortage in which each connection holds some bytes and takes none of them. It ends when less than `enough` is held. */
function shortage(
  held: readonly Held[],
  enough = 0,
  evicted: (id: number, all: { weight: number }[]) => void = () => {},
) {
  const clock = new Clock();
  const evictions: number[] = [];
  const all = held.map(({ weight, slow = false, holdsPartOfFrame = false }, id) => ({
    weight,
    unsent: weight,
    bytesOut: 0,
    isWriteInFlight: slow,
    holdsPartOfFrame,
    abortWith() {
      evictions.push(id);
      this.weight = 0;
      evicted(id, all);
    },
  }));
  const total = () => all.reduce((sum, { weight }) => sum + weight, 0);
  const memory = {
    holders: new Set(all as Evictable[]),
    isPastHardLimit: false,
    limit: 100,
    get isShort() {
      return total() > enough;
    },
    get total() {
      return total();
    },
  } as ScarceMemory;
  new ShortageSpell(memory, clock).begin(clock, false);
  return { clock, evictions };
}

describe('a spell of shortages', () => {
  it('evicts first the connections that would hold memory longest', async () => {
    const held = [10, 30, 20].map((weight) => ({ weight, slow: true }));
    const { clock, evictions } = shortage(held);
    await clock.advance(4000);
    expect(evictions).toEqual([1, 2, 0]);
  });

  it('evicts before them those that hold part of a frame, the larger one first', async () => {
    const { clock, evictions } = shortage([
      { weight: 30, slow: true },
      { weight: 1, holdsPartOfFrame: true },
      { weight: 5, holdsPartOfFrame: true },
      { weight: 3, holdsPartOfFrame: true },
    ]);
    await clock.advance(4000);
    expect(evictions).toEqual([2, 3, 1, 0]);
  });

  it('evicts those that wait for their handlers after ten seconds, the larger one first', async () => {
    const { clock, evictions } = shortage([{ weight: 10 }, { weight: 30 }, { weight: 20 }]);
    await clock.advance(10_000);
    expect(evictions).toEqual([]);
    await clock.advance(250);
    expect(evictions).toEqual([1, 2, 0]);
  });

  it('evicts no more than it needs for room', async () => {
    const held = [10, 30, 20].map((weight) => ({ weight, slow: true }));
    const { clock, evictions } = shortage(held, 15);
    await clock.advance(4000);
    expect(evictions).toEqual([1, 2]);
  });

  it('does not evict a connection that an eviction before it has closed', async () => {
    const held = [10, 30, 20].map((weight) => ({ weight, slow: true }));
    const { clock, evictions } = shortage(held, 0, (id, all) => {
      // The handler of one ends the other.
      if (id === 1 && all[2]) all[2].weight = 0;
    });
    await clock.advance(4000);
    expect(evictions).toEqual([1, 0]);
  });
});
