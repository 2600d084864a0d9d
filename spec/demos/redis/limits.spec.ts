import { describe, expect, it } from 'vitest';
import { Database } from '../../../demos/redis/database.ts';
import type { ClientLimits } from '../../../demos/redis/limits.ts';
import { DeadlineError, SlowConsumerError } from '../../../lib/index.ts';
import { OurClient } from './support/ours.ts';

/** A client whose figures are set by hand, under a clock that is, too. */
function one(limits: ClientLimits) {
  const figures = { now: 1_000_000, unsent: 0, moved: 0, aborted: 0 };
  const db = new Database({ now: () => figures.now, limits });
  const client = new OurClient(db, {
    unsent: () => figures.unsent,
    moved: () => figures.moved,
    abort: () => figures.aborted++,
  });
  const pass = (time: number): void => {
    figures.now += time;
    db.tick();
  };
  return { db, client, figures, pass };
}

describe('a subscriber', () => {
  it('is cut off with the message that is too much, and the others are told', async () => {
    const { db, client, figures } = one({ hard: 1000 });
    const other = new OurClient(db);
    await client.ask('SUBSCRIBE', 'news');
    await other.ask('SUBSCRIBE', 'news');
    figures.unsent = 1000;
    db.pubsub.publish('news', 'one');
    expect(client.ended).toBeUndefined();
    figures.unsent = 1001;
    expect(db.pubsub.publish('news', 'two')).toBe(2);
    expect(client.ended).toEqual(new SlowConsumerError(1000, 1001));
    expect(figures.aborted).toBe(1);
    expect(db.pubsub.publish('news', 'three')).toBe(1);
    expect(String(await other.received())).toContain('three');
    expect(db.sessions.size).toBe(1);
  });

  it('may be behind for so long, and anew when it has caught up', async () => {
    const { client, figures, pass } = one({ soft: 1000, softTime: 60_000 });
    await client.ask('SUBSCRIBE', 'news');
    figures.unsent = 1001;
    pass(100);
    pass(59_999);
    figures.unsent = 1000;
    pass(100);
    figures.unsent = 5000;
    pass(100);
    pass(59_999);
    expect(client.ended).toBeUndefined();
    pass(1);
    expect(client.ended).toEqual(new SlowConsumerError(1000, 5000));
  });

  it('may be silent, while others may be so for as long as it was said', async () => {
    const { db, client, pass } = one({ timeout: 5000 });
    const silent = new OurClient(db);
    await client.ask('SUBSCRIBE', 'news');
    pass(4999);
    expect(silent.ended).toBeUndefined();
    pass(1);
    expect(silent.ended).toEqual(new DeadlineError('idle', 5000));
    expect(client.ended).toBeUndefined();
  });
});

describe('a client', () => {
  it('is not silent while a large value is on its way', () => {
    const { client, figures, pass } = one({ timeout: 5000 });
    for (let times = 0; times < 10; times++) {
      figures.moved += 1000;
      pass(4000);
    }
    expect(client.ended).toBeUndefined();
    pass(5000);
    expect(client.ended).toEqual(new DeadlineError('idle', 5000));
  });

  it('may ask for more than a subscriber may have unsent, and be silent for ever', async () => {
    const { client, figures, pass } = one({});
    figures.unsent = 1e9;
    await client.ask('PING');
    for (let days = 0; days < 10; days++) pass(86_400_000);
    expect(client.ended).toBeUndefined();
  });
});
