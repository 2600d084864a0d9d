import fc from 'fast-check';
import { BehaviorSubject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Message, Person } from '../../../demos/chat/message.ts';
import { presence } from '../../../demos/chat/presence.ts';
import { marbles } from '../../support/marbles.ts';
import { House, type Server, TTL } from './house.ts';

describe('presence', () => {
  it(
    'sees who comes and goes on another server, and all of them go when it is silent for its time',
    marbles(({ hot, clock, expectObservable }) => {
      const tell = (...there: Person[]): Message => ({ server: 'b/1', there });
      const bob = { id: 1, name: 'bob', since: 1, room: 'tea' };
      const bert = { id: 2, name: 'bert', since: 1, room: 'tea' };
      const heard = hot('   --b--c--d--gc------------|', {
        b: tell(),
        c: tell(bob),
        d: tell(bob, bert),
        g: { server: 'b/1', gone: 2 },
      });
      const expected = '    -----j--k--l--------m-----';
      const bus = { heard, connected: new BehaviorSubject(true), send: () => {}, close: async () => {} };
      // Heard at frame 12 for the last time, and forgotten with the fifth beat after that one.
      expectObservable(presence(bus, 'a/1', 10, clock).news, '^-----------------------!').toBe(expected, {
        j: { to: 'tea', line: '* bob has joined tea\n' },
        k: { to: 'tea', line: '* bert has joined tea\n' },
        l: { to: 'tea', line: '* bert has left tea\n' },
        m: { to: 'tea', line: '* bob has left tea: server b has gone silent\n' },
      });
    }),
  );

  it('keeps those whose server beats', async () => {
    const house = new House();
    const [a, b] = [await house.open('a'), await house.open('b')];
    b.seat(1, 'bob', 'tea');
    await house.clock.advance(100 * TTL);
    expect(a.who('tea')).toEqual(['bob@b']);
    expect(a.takeNews()).toEqual([{ to: 'tea', line: '* bob has joined tea\n' }]);
  });

  it('lets the people of a killed server go within the time to live, and not before three quarters of it', async () => {
    const house = new House();
    const [a, b] = [await house.open('a'), await house.open('b')];
    for (const id of [1, 2, 3]) b.seat(id, `bob${id}`, id === 3 ? 'ale' : 'tea');
    await house.clock.advance(10 * TTL);
    a.takeNews();
    b.kill();
    await house.clock.advance(0.75 * TTL - 1);
    expect(a.who('tea')).toEqual(['bob1@b', 'bob2@b']);
    await house.clock.advance(0.25 * TTL + 1);
    expect([a.who('tea'), a.who('ale'), a.presence.people()]).toEqual([[], [], []]);
    expect(a.takeNews()).toEqual([
      { to: 'tea', line: '* bob1 and bob2 have left tea: server b has gone silent\n' },
      { to: 'ale', line: '* bob3 has left ale: server b has gone silent\n' },
    ]);
  });

  it('lets them go at once when the server ends in good order, and does not call it silent', async () => {
    const house = new House();
    const [a, b] = [await house.open('a'), await house.open('b')];
    b.seat(1, 'bob', 'tea');
    a.takeNews();
    b.end();
    expect(a.takeNews()).toEqual([{ to: 'tea', line: '* bob has left tea\n' }]);
    await house.clock.advance(2 * TTL);
    expect(a.takeNews()).toEqual([]);
  });

  it('tells a server that comes late who is there, in as many parts as it takes', async () => {
    const house = new House();
    const a = await house.open('a');
    for (let id = 1; id <= 4001; id++) a.seat(id, `p${id}`, 'tea');
    const b = await house.open('b');
    expect(b.who('tea')).toHaveLength(4001);
    // One line for each part.
    expect(b.takeNews()).toHaveLength(3);
  });

  it('lets go of somebody of whose leaving it has not heard, and does not call their server silent', async () => {
    const house = new House();
    const [a, b] = [await house.open('a'), await house.open('b')];
    for (const [id, name] of ['bob', 'bert'].entries()) b.seat(id, name, 'tea');
    a.takeNews();
    b.lets = () => false;
    b.presence.leave(0);
    b.lets = () => true;
    await house.clock.advance(1.2 * TTL);
    expect(a.who('tea')).toEqual(['bert@b']);
    expect(a.takeNews()).toEqual([{ to: 'tea', line: '* bob has left tea\n' }]);
  });

  it('passes on what is said, in its order', async () => {
    const house = new House();
    const [a, b] = [await house.open('a'), await house.open('b')];
    a.seat(1, 'anna', 'tea');
    b.takeNews();
    for (const text of ['1', '2', '3']) a.presence.say(1, text);
    const said = ['1', '2', '3'].map((text) => ({ to: 'tea', line: `<anna> ${text}\n`, said: true }));
    expect(b.takeNews()).toMatchObject(said);
    expect(a.takeNews().slice(-3)).toMatchObject(said);
  });

  it('gives a name once, whatever its letters are like and whatever server it is on', async () => {
    const house = new House();
    const [a, b] = [await house.open('a'), await house.open('b')];
    a.seat(1, 'Anna', 'tea');
    b.presence.enter(1);
    expect(b.presence.rename(1, 'aNNa')).toBe(false);
    expect(a.presence.rename(1, 'anna')).toBe(true);
    a.presence.leave(1);
    expect(b.presence.rename(1, 'aNNa')).toBe(true);
    expect(b.presence.person(1).name).toBe('aNNa');
  });

  it('leaves a name to who had it first, when two took it while their servers were apart', async () => {
    const house = new House();
    const [a, b] = [await house.open('a'), await house.open('b')];
    b.cut();
    a.seat(1, 'anna', 'tea');
    b.seat(1, 'anna', 'tea');
    a.takeNews();
    b.takeNews();
    b.mend();
    await house.clock.advance(TTL / 5);
    // In the same millisecond the servers' names decide, and a later millisecond agrees with them here.
    expect(a.who('tea')).toEqual(b.who('tea'));
    expect(a.who('tea')).toEqual(['anna@a', expect.stringMatching(/^guest\d+@b$/)]);
    const to = b.presence.person(1).name;
    expect(b.takeNews()).toContainEqual({
      to: 1,
      line: `* Somebody on another server was anna before you. You are ${to} now.\n`,
    });
    expect(a.takeNews().filter((news) => typeof news.to === 'number')).toEqual([]);
  });

  it('after whatever was lost and cut, all servers see the same people, each name once', async () => {
    const names = ['x', 'y', 'z'];
    const rooms = ['tea', 'ale', undefined];
    const servers = fc.nat(2);
    const person = fc.integer({ min: 1, max: 3 });
    const step = fc.oneof(
      fc.record({ do: fc.constant('name' as const), on: servers, id: person, name: fc.constantFrom(...names) }),
      fc.record({ do: fc.constant('move' as const), on: servers, id: person, room: fc.constantFrom(...rooms) }),
      fc.record({ do: fc.constant('leave' as const), on: servers, id: person }),
      fc.record({
        do: fc.constantFrom('cut' as const, 'mend' as const, 'lossy' as const, 'sure' as const),
        on: servers,
      }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.nat(1500) }),
    );
    const steps = fc.array(step, { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, fc.infiniteStream(fc.boolean()), async (all, lets) => {
        const house = new House();
        const three = [await house.open('a'), await house.open('b'), await house.open('c')];
        const here = three.map(() => new Set<number>());
        for (const one of all) {
          if (one.do === 'wait') {
            await house.clock.advance(one.ms);
            continue;
          }
          const server = three[one.on] as Server;
          const ids = here[one.on] as Set<number>;
          if ('id' in one && one.do !== 'leave' && !ids.has(one.id)) server.presence.enter(ids.add(one.id) && one.id);
          if (one.do === 'name') server.presence.rename(one.id, one.name);
          else if (one.do === 'move') server.presence.move(one.id, one.room);
          else if (one.do === 'leave') ids.delete(one.id) && server.presence.leave(one.id);
          else if (one.do === 'cut') server.cut();
          else if (one.do === 'mend') server.mend();
          else server.lets = one.do === 'sure' ? () => true : () => lets.next().value;
        }
        for (const server of three) {
          server.lets = () => true;
          server.mend();
        }
        await house.clock.advance(2 * TTL);
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

/** All people, as a server sees them. */
function everyone({ presence }: Server): string[] {
  return presence
    .people()
    .map(({ server, id, name, room = '' }) => `${name}@${server}#${id} ${room}`)
    .sort();
}
