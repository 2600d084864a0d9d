import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Database } from '../../../demos/redis/database.ts';
import type { ClientLimits } from '../../../demos/redis/limits.ts';
import { DeadlineError, SlowConsumerError } from '../../../lib/index.ts';
import { OurClient } from './support/ours.ts';

/** A client whose figures and clock are set by hand. */
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
  it('is disconnected by the message that exceeds the limit, and other subscribers are sent that message', async () => {
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

  it('may exceed the soft limit for `softTime`, and again after it has caught up', async () => {
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

  it('may be silent, while a client without subscriptions may be silent for `timeout` only', async () => {
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

describe('data that is stored for clients beside the keys', () => {
  /** Clients, and the bytes that were reported to the budget for each of them. */
  function several(limits: ClientLimits, count: number) {
    const db = new Database({ limits });
    const clients = Array.from({ length: count }, () => {
      const reported = { held: 0 };
      const client = new OurClient(db, {
        held: (bytes) => {
          reported.held += bytes;
        },
      });
      return { client, reported };
    });
    return { db, clients };
  }

  it('is reported to the budget, and amounts to 0 after the last client has left', async () => {
    const name = fc.constantFrom('a', 'b', 'c*', 'd'.repeat(100));
    const names = fc.array(name, { minLength: 1, maxLength: 3 });
    const command = fc.oneof(
      fc.constantFrom(
        ['MULTI'],
        ['MULTI'],
        ['EXEC'],
        ['DISCARD'],
        ['RESET'],
        ['UNWATCH'],
        ['UNSUBSCRIBE'],
        ['HELLO', '3'],
      ),
      names.map((words) => ['MGET', ...words]),
      names.map((words) => ['nonsense', ...words]),
      fc
        .tuple(fc.constantFrom('WATCH', 'SUBSCRIBE', 'PSUBSCRIBE', 'UNSUBSCRIBE', 'PUNSUBSCRIBE'), names)
        .map(([word, words]) => [word, ...words]),
      fc
        .tuple(fc.constantFrom('SETNAME', 'SETINFO'), name)
        .map(([word, said]) => (word === 'SETNAME' ? ['CLIENT', word, said] : ['CLIENT', word, 'lib-name', said])),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2), command), { maxLength: 60 }),
        fc.constantFrom(0, 1500, 1e9),
        async (commands, held) => {
          const { db, clients } = several({ held }, 3);
          let sum = 0;
          for (const [index, args] of commands) {
            await clients[index]?.client.ask(...args);
            sum = clients.reduce((all, { reported }) => all + reported.held, 0);
            for (const { reported } of clients) expect(reported.held).toBeGreaterThanOrEqual(0);
            expect(sum).toBeLessThanOrEqual(held);
          }
          // The room that is left under the limit agrees with what was reported.
          expect(db.limits.hold(held - sum)).toBe(true);
          expect(db.limits.hold(1)).toBe(false);
          db.limits.hold(sum - held);
          for (const { client } of clients) client.leave();
          expect(clients.map(({ reported }) => reported.held)).toEqual([0, 0, 0]);
          expect(db.limits.hold(held)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('is refused above the limit, and the transaction fails', async () => {
    const { db, clients } = several({ held: 2000 }, 2);
    const [one, other] = clients;
    await one?.client.ask('MULTI');
    expect(await one?.client.ask('SET', 'a', 'x'.repeat(1000))).toBe('+QUEUED\r\n');
    expect(one?.reported.held).toBeGreaterThan(1000);
    expect(await one?.client.ask('SET', 'b', 'x'.repeat(1000))).toMatch(
      /^-OOM command not allowed: the limit for what clients queue/,
    );
    expect(one?.reported.held).toBe(0);
    expect(await one?.client.ask('SET', 'c', 'x'.repeat(1000))).toBe('+QUEUED\r\n');
    expect(one?.reported.held).toBe(0);
    await other?.client.ask('MULTI');
    expect(await other?.client.ask('SET', 'd', 'x'.repeat(1000))).toBe('+QUEUED\r\n');
    expect(await one?.client.ask('EXEC')).toMatch(/^-EXECABORT /);
    expect(await other?.client.ask('EXEC')).toBe('*1\r\n+OK\r\n');
    expect([...db.store.keys()]).toEqual(['d']);
  });

  it.each([['SUBSCRIBE'], ['PSUBSCRIBE'], ['WATCH']])('%s stores all of its names, or none', async (word) => {
    const { db, clients } = several({ held: 2000 }, 1);
    const [one] = clients;
    const names = Array.from({ length: 10 }, (_, index) => `name:${index}`);
    expect(await one?.client.ask(word, ...names)).toMatch(/^-OOM /);
    expect([...db.store.watches.keys(), db.pubsub.channels, db.pubsub.patterns]).toEqual([0, 0]);
    expect(one?.reported.held).toBe(0);
    expect(await one?.client.ask(word, 'a', 'a', 'a')).not.toContain('-');
    expect(await one?.client.ask(word, 'a', 'a', 'a')).not.toContain('-');
  });
});

describe('a client', () => {
  it('is not silent while a large value is being transferred', () => {
    const { client, figures, pass } = one({ timeout: 5000 });
    for (let times = 0; times < 10; times++) {
      figures.moved += 1000;
      pass(4000);
    }
    expect(client.ended).toBeUndefined();
    pass(5000);
    expect(client.ended).toEqual(new DeadlineError('idle', 5000));
  });

  it('may have more unsent than a subscriber, and may be silent forever by default', async () => {
    const { client, figures, pass } = one({});
    figures.unsent = 1e9;
    await client.ask('PING');
    for (let days = 0; days < 10; days++) pass(86_400_000);
    expect(client.ended).toBeUndefined();
  });
});
