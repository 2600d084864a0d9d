import fc from 'fast-check';
import { BehaviorSubject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Message, Person } from '../../../demos/chat/message.ts';
import { presence } from '../../../demos/chat/presence.ts';
import { marbles } from '../../support/marbles.ts';
import { Cluster, type Server, TTL } from './cluster.ts';

describe('presence', () => {
  it(
    'emits the users who join and leave on another server, and removes all of them once it is silent for the ttl',
    marbles(({ hot, clock, expectObservable }) => {
      const users = (...there: Person[]): Message => ({ server: 'b/1', there });
      const bob = { id: 1, name: 'bob', since: 1, room: 'tea' };
      const bert = { id: 2, name: 'bert', since: 1, room: 'tea' };
      const messages = hot('--b--c--d--gc------------|', {
        b: users(),
        c: users(bob),
        d: users(bob, bert),
        g: { server: 'b/1', gone: 2 },
      });
      const expected = '    -----j--k--l--------m-----';
      const bus = { messages, connected: new BehaviorSubject(true), send: () => {}, close: async () => {} };
      // Its last message arrives at frame 12; the fifth heartbeat after that removes it.
      expectObservable(presence(bus, 'a/1', 10, clock).news, '^-----------------------!').toBe(expected, {
        j: { to: 'tea', line: '* bob has joined tea\n' },
        k: { to: 'tea', line: '* bert has joined tea\n' },
        l: { to: 'tea', line: '* bert has left tea\n' },
        m: { to: 'tea', line: '* bob has left tea: server b has gone silent\n' },
      });
    }),
  );

  it('keeps the users of a server that continues to publish', async () => {
    const cluster = new Cluster();
    const [a, b] = [await cluster.open('a'), await cluster.open('b')];
    b.addUser(1, 'bob', 'tea');
    await cluster.clock.advance(100 * TTL);
    expect(a.who('tea')).toEqual(['bob@b']);
    expect(a.takeNews()).toEqual([{ to: 'tea', line: '* bob has joined tea\n' }]);
  });

  it('removes the users of a killed server within the ttl, and not before three quarters of it', async () => {
    const cluster = new Cluster();
    const [a, b] = [await cluster.open('a'), await cluster.open('b')];
    for (const id of [1, 2, 3]) b.addUser(id, `bob${id}`, id === 3 ? 'ale' : 'tea');
    await cluster.clock.advance(10 * TTL);
    a.takeNews();
    b.kill();
    await cluster.clock.advance(0.75 * TTL - 1);
    expect(a.who('tea')).toEqual(['bob1@b', 'bob2@b']);
    await cluster.clock.advance(0.25 * TTL + 1);
    expect([a.who('tea'), a.who('ale'), a.presence.people()]).toEqual([[], [], []]);
    expect(a.takeNews()).toEqual([
      { to: 'tea', line: '* bob1 and bob2 have left tea: server b has gone silent\n' },
      { to: 'ale', line: '* bob3 has left ale: server b has gone silent\n' },
    ]);
  });

  it('removes the users of a server at once when it shuts down, and does not call it silent', async () => {
    const cluster = new Cluster();
    const [a, b] = [await cluster.open('a'), await cluster.open('b')];
    b.addUser(1, 'bob', 'tea');
    a.takeNews();
    b.end();
    expect(a.takeNews()).toEqual([{ to: 'tea', line: '* bob has left tea\n' }]);
    await cluster.clock.advance(2 * TTL);
    expect(a.takeNews()).toEqual([]);
  });

  it('sends all users to a server that starts later, in as many messages as are needed', async () => {
    const cluster = new Cluster();
    const a = await cluster.open('a');
    for (let id = 1; id <= 4001; id++) a.addUser(id, `p${id}`, 'tea');
    const b = await cluster.open('b');
    expect(b.who('tea')).toHaveLength(4001);
    // One line of news for each message.
    expect(b.takeNews()).toHaveLength(3);
  });

  it('removes a user after the message that the user has left was lost, and does not call the server silent', async () => {
    const cluster = new Cluster();
    const [a, b] = [await cluster.open('a'), await cluster.open('b')];
    for (const [id, name] of ['bob', 'bert'].entries()) b.addUser(id, name, 'tea');
    a.takeNews();
    b.delivers = () => false;
    b.presence.leave(0);
    b.delivers = () => true;
    await cluster.clock.advance(1.2 * TTL);
    expect(a.who('tea')).toEqual(['bert@b']);
    expect(a.takeNews()).toEqual([{ to: 'tea', line: '* bob has left tea\n' }]);
  });

  it('delivers the lines of a user in their order, on every server', async () => {
    const cluster = new Cluster();
    const [a, b] = [await cluster.open('a'), await cluster.open('b')];
    a.addUser(1, 'anna', 'tea');
    b.takeNews();
    for (const text of ['1', '2', '3']) a.presence.say(1, text);
    const said = ['1', '2', '3'].map((text) => ({ to: 'tea', line: `<anna> ${text}\n`, said: true }));
    expect(b.takeNews()).toMatchObject(said);
    expect(a.takeNews().slice(-3)).toMatchObject(said);
  });

  it('gives a name to one user only, regardless of case and server', async () => {
    const cluster = new Cluster();
    const [a, b] = [await cluster.open('a'), await cluster.open('b')];
    a.addUser(1, 'Anna', 'tea');
    b.presence.enter(1);
    expect(b.presence.rename(1, 'aNNa')).toBe(false);
    expect(a.presence.rename(1, 'anna')).toBe(true);
    a.presence.leave(1);
    expect(b.presence.rename(1, 'aNNa')).toBe(true);
    expect(b.presence.person(1).name).toBe('aNNa');
  });

  it('leaves a name to the user who took it first, when two took it while their servers were disconnected', async () => {
    const cluster = new Cluster();
    const [a, b] = [await cluster.open('a'), await cluster.open('b')];
    b.disconnect();
    a.addUser(1, 'anna', 'tea');
    b.addUser(1, 'anna', 'tea');
    a.takeNews();
    b.takeNews();
    b.reconnect();
    await cluster.clock.advance(TTL / 5);
    // If both took the name in the same millisecond, the names of the servers decide. If b's user was later, the time decides,
    // with the same result.
    expect(a.who('tea')).toEqual(b.who('tea'));
    expect(a.who('tea')).toEqual(['anna@a', expect.stringMatching(/^guest\d+@b$/)]);
    const to = b.presence.person(1).name;
    expect(b.takeNews()).toContainEqual({
      to: 1,
      line: `* The name anna was taken earlier on another server. You are ${to} now.\n`,
    });
    expect(a.takeNews().filter((news) => typeof news.to === 'number')).toEqual([]);
  });

  it('shows the same users on all servers, each name once, after any lost messages and disconnections', async () => {
    const names = ['x', 'y', 'z'];
    const rooms = ['tea', 'ale', undefined];
    const servers = fc.nat(2);
    const person = fc.integer({ min: 1, max: 3 });
    const step = fc.oneof(
      fc.record({ do: fc.constant('name' as const), on: servers, id: person, name: fc.constantFrom(...names) }),
      fc.record({ do: fc.constant('move' as const), on: servers, id: person, room: fc.constantFrom(...rooms) }),
      fc.record({ do: fc.constant('leave' as const), on: servers, id: person }),
      fc.record({
        do: fc.constantFrom('disconnect' as const, 'reconnect' as const, 'lossy' as const, 'sure' as const),
        on: servers,
      }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.nat(1500) }),
    );
    const steps = fc.array(step, { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, fc.infiniteStream(fc.boolean()), async (all, delivered) => {
        const cluster = new Cluster();
        const three = [await cluster.open('a'), await cluster.open('b'), await cluster.open('c')];
        const here = three.map(() => new Set<number>());
        for (const one of all) {
          if (one.do === 'wait') {
            await cluster.clock.advance(one.ms);
            continue;
          }
          const server = three[one.on] as Server;
          const ids = here[one.on] as Set<number>;
          if ('id' in one && one.do !== 'leave' && !ids.has(one.id)) server.presence.enter(ids.add(one.id) && one.id);
          if (one.do === 'name') server.presence.rename(one.id, one.name);
          else if (one.do === 'move') server.presence.move(one.id, one.room);
          else if (one.do === 'leave') ids.delete(one.id) && server.presence.leave(one.id);
          else if (one.do === 'disconnect') server.disconnect();
          else if (one.do === 'reconnect') server.reconnect();
          else server.delivers = one.do === 'sure' ? () => true : () => delivered.next().value;
        }
        for (const server of three) {
          server.delivers = () => true;
          server.reconnect();
        }
        await cluster.clock.advance(2 * TTL);
        const [first, ...others] = three.map(everyone);
        for (const other of others) expect(other).toEqual(first);
        const taken = (first ?? []).map((one) => one.split('@')[0]);
        expect(new Set(taken).size).toBe(taken.length);
        expect(taken.length).toBe(here.reduce((sum, ids) => sum + ids.size, 0));
        for (const server of three) server.end();
      }),
      { numRuns: 200 },
    );
  });
});

/** All users, as a server sees them. */
function everyone({ presence }: Server): string[] {
  return presence
    .people()
    .map(({ server, id, name, room = '' }) => `${name}@${server}#${id} ${room}`)
    .sort();
}
