import {
  concatMap,
  finalize,
  ignoreElements,
  map,
  merge,
  NEVER,
  Subject,
  type Subscription,
  take,
  takeUntil,
  tap,
  timer,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import { LivenessPoller, type Polled } from '../../lib/connection/livenessPoller.ts';
import { MemoryBudget } from '../../lib/connection/memoryBudget.ts';
import { PauseCause } from '../../lib/connection/pauses.ts';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { Data } from '../../lib/connection/writeQueue.ts';
import { lines } from '../../lib/framing/lines.ts';
import { heard, run } from '../support/peers.ts';

const text = (chunk: Uint8Array) => Buffer.from(chunk).toString();

describe('an input that is held back', () => {
  it('keeps one read, and then pauses the socket; and hands it on when it is released', () => {
    const { said } = run({}, ({ connection, client, flow, at, say }) => {
      connection.pipe(map(text), connection.send()).subscribe(heard(say));
      at(1, () => connection.control.pause(PauseCause.handler));
      at(2, () => say(`${flow} ${connection.bytesIn}`));
      at(3, () => client.write('one').write('two').write('three'));
      at(4, () => say(`${flow} ${connection.bytesIn}`));
      at(5, () => connection.control.resume(PauseCause.handler));
      at(6, () => say(`${flow} ${connection.bytesIn}`));
      at(7, () => client.end());
    });
    // Holding alone costs no call: the first pause comes with the read that is kept.
    expect(said).toEqual(['2 resume 0', '4 resume,pause 3', '6 resume,pause,resume 11', '7 complete', '7 ended 11 0']);
  });

  it('costs no call at all when it is released before more comes', () => {
    const { said } = run({}, ({ connection, client, flow, at, say }) => {
      connection.pipe(map(text), connection.send()).subscribe(heard(say));
      at(1, () => connection.control.pause(PauseCause.handler));
      at(2, () => connection.control.resume(PauseCause.handler));
      at(3, () => say(flow));
      at(4, () => client.end());
    });
    // `resume` of one that flows is none.
    expect(String(said[0]).replaceAll(',resume', '')).toBe('3 resume');
  });

  it('flows only when the last cause is gone', () => {
    const { said } = run({}, ({ connection, client, at, say }) => {
      connection.pipe(map(text)).subscribe(say);
      at(1, () => {
        connection.control.pause(PauseCause.handler);
        connection.control.pause(PauseCause.budget);
        client.write('x');
      });
      at(2, () => connection.control.resume(PauseCause.handler));
      at(3, () => connection.control.resume(PauseCause.handler));
      at(4, () => connection.control.resume(PauseCause.budget));
      at(5, () => client.end());
    });
    expect(said).toEqual(['4 x', '5 ended 0 0']);
  });

  it('is not held back by the output of one who writes for himself: two who only wrote would wait for each other', () => {
    const { said } = run({ window: 10, highWaterMark: 100 }, ({ connection, client, at, say }) => {
      connection.pipe(map(text)).subscribe(say);
      client.pause();
      at(1, () => void connection.write('x'.repeat(1000)));
      at(2, () => client.write('and you?'));
      at(3, () => say(`${connection.unsent} unsent`));
      at(4, () => client.resume());
      at(5, () => client.end());
    });
    expect(said).toEqual(['2 and you?', '3 990 unsent', '5 ended 1000 0']);
  });

  it('hears of the FIN after what was kept', () => {
    const { said } = run({}, ({ connection, client, at, say }) => {
      connection
        .pipe(
          map(text),
          finalize(() => say('over')),
        )
        .subscribe(say);
      at(1, () => {
        connection.control.pause(PauseCause.handler);
        client.write('x').end();
      });
      at(5, () => connection.control.resume(PauseCause.handler));
    });
    expect(said).toEqual(['5 x', '5 over', '5 ended 0 0']);
  });

  it('goes on being discarded when its reader lets go of it as it gives way to the others', () => {
    const full = Buffer.alloc(64 * 1024);
    const { said } = run({}, ({ connection, client, at, say }) => {
      // The sixteenth full read in a row is the last of a turn.
      merge(connection.pipe(take(16), ignoreElements()), NEVER)
        .pipe(connection.send())
        .subscribe();
      for (let i = 0; i < 16; i++) client.write(full);
      at(5, () => client.write('nobody reads this').end());
      at(6, () => say(connection.bytesIn - 16 * full.length));
      at(7, () => connection.end());
    });
    expect(said).toEqual(['6 17', '7 ended 0 0']);
  });

  it('hears of the FIN after all frames, though it is held and released while it works on one of them', () => {
    const { said } = run({}, ({ connection, client, at, say }) => {
      const work = (line: string) => {
        say(line);
        connection.control.pause(line === 'a' ? PauseCause.budget : PauseCause.handler);
        connection.control.resume(PauseCause.budget);
      };
      connection.pipe(lines(), tap(work), ignoreElements(), connection.send()).subscribe(heard(say));
      client.write('0\na\nb\nc\n').end();
      for (const ms of [1, 2, 3]) at(ms, () => connection.control.resume(PauseCause.handler));
    });
    expect(said).toEqual(['0 0', '1 a', '1 b', '2 c', '3 complete', '3 ended 0 0']);
  });

  it.each<[string, (reading: Subscription, connection: SocketConnection) => void, string]>([
    ['its reader lets go of it', (reading) => reading.unsubscribe(), 'ended'],
    ['it is released', (_reading, connection) => connection.control.resume(PauseCause.handler), 'ended'],
    ['it is ended', (_reading, connection) => connection.end(), 'completed'],
  ])('keeps a connection whose FINs have both been said until %s', (_when, goOn, reason) => {
    const { said, made } = run({}, ({ connection, client, at, say }) => {
      const reading = connection.subscribe();
      at(1, () => connection.control.pause(PauseCause.handler));
      at(2, () => connection.halfClose());
      at(3, () => client.end());
      at(4, () => say('held'));
      at(5, () => goOn(reading, connection));
    });
    expect(said).toEqual(['4 held', `5 ${reason} 0 0`]);
    expect(made.network.sockets.size).toBe(0);
  });

  it.each([
    ['is read', 'completes', 'ended'],
    ['is read', 'fails', 'failed'],
    ['nobody reads', 'completes', 'completed'],
    ['nobody reads', 'fails', 'failed'],
  ])(
    '%s: a connection whose FINs have both been said is kept until its sender %s, who says how',
    (input, how, reason) => {
      const { said, made } = run({}, ({ connection, client, at, say }) => {
        const replies = new Subject<Data>();
        const done = new Subject<void>();
        const reading = input === 'is read' ? connection.pipe(ignoreElements()) : NEVER;
        merge(reading, replies).pipe(takeUntil(done), connection.send()).subscribe(heard(say));
        at(1, () => connection.control.pause(PauseCause.handler));
        at(2, () => connection.halfClose());
        at(3, () => client.end());
        at(4, () => say('held'));
        at(5, () => (how === 'fails' ? replies.error(new Error('no')) : done.next()));
      });
      expect(said).toEqual(['4 held', how === 'fails' ? '5 no' : '5 complete', `5 ${reason} 0 0`]);
      expect(made.network.sockets.size).toBe(0);
    },
  );

  it('weighs nothing any more when its reader lets go of it, whatever it had of it', () => {
    const budget = new MemoryBudget(1000);
    const { said } = run({ budget }, ({ connection, client, at, say }) => {
      const reading = new Subject<void>();
      merge(connection.pipe(lines(), takeUntil(reading), ignoreElements()), NEVER)
        .pipe(connection.send())
        .subscribe();
      client.write('half a line');
      at(1, () => {
        connection.control.pause(PauseCause.handler);
        client.write(', and what is kept');
      });
      at(2, () => say(budget.total));
      at(3, () => reading.next());
      at(4, () => say(budget.total));
      at(5, () => connection.abort());
    });
    expect(said).toEqual(['2 29', '4 0', '5 aborted 0 0']);
  });

  it('is let go of with the connection, and what was kept with it', () => {
    const { said } = run({}, ({ connection, client, at, say }) => {
      connection.pipe(map(text)).subscribe({ next: say, error: (error: Error) => say(error.name) });
      at(1, () => {
        connection.control.pause(PauseCause.handler);
        client.write('x');
      });
      at(3, () => connection.abort());
      at(5, () => connection.control.resume(PauseCause.handler));
    });
    expect(said).toEqual(['3 ConnectionClosedError', '3 aborted 0 0']);
  });
});

/** A pulse that says whom it watches. */
class Watching extends LivenessPoller {
  readonly all = new Set<Polled>();
  override add(held: Polled): void {
    this.all.add(held);
  }
  override delete(held: Polled): void {
    this.all.delete(held);
  }
}

describe('the pulse of an input that is held back', () => {
  it('watches it for as long as somebody holds it, in whatever order its own turn and others let go', () => {
    const pulse = new Watching();
    const { said } = run({ livenessPoller: pulse, alive: true }, ({ connection, client, at, say }) => {
      connection.subscribe({ error: () => undefined });
      // What comes is kept, and the socket is paused.
      at(0, () => client.write('x'));
      const changes: [change: 'pause' | 'resume', cause: number][] = [
        ['pause', PauseCause.yield],
        ['pause', PauseCause.handler],
        ['pause', PauseCause.peer],
        ['resume', PauseCause.handler],
        ['resume', PauseCause.peer],
        ['resume', PauseCause.yield],
      ];
      for (const [i, [change, cause]] of changes.entries()) {
        at(i, () => {
          connection.control[change](cause);
          say(pulse.all.size);
        });
      }
      at(6, () => connection.abort());
      at(7, () => say(pulse.all.size));
    });
    expect(said).toEqual(['0 0', '1 1', '2 1', '3 1', '4 0', '5 0', '6 aborted 0 0', '7 0']);
  });
});

describe('an input that the handler does not read', () => {
  it('notices a reset, and the handler is let go of in that tick', () => {
    const { said } = run({}, ({ connection, client, at, say }) => {
      NEVER.pipe(
        finalize(() => say('let go')),
        connection.send(),
      ).subscribe(heard(say));
      at(5, () => client.break());
    });
    expect(said).toEqual(['5 let go', '5 complete', '5 reset 0 0']);
  });

  it('keeps one read for whoever subscribes later, and is watched meanwhile', () => {
    const pulse = new Watching();
    const { said } = run({ livenessPoller: pulse, alive: true }, ({ connection, client, flow, at, say }) => {
      NEVER.pipe(takeUntil(timer(20, connection.clock)), connection.send()).subscribe();
      at(1, () => client.write('one').write('two'));
      at(2, () => say(`${flow} ${connection.bytesIn} ${pulse.all.size}`));
      at(3, () => connection.pipe(map(text)).subscribe({ next: say, complete: () => say('over') }));
      at(4, () => say(pulse.all.size));
      at(5, () => client.write('three').end());
    });
    expect(said).toEqual(['2 resume,pause 3 1', '3 one', '3 two', '4 0', '5 three', '5 over', '20 ended 0 0']);
  });

  it('keeps the end, too, for whoever subscribes later', () => {
    const { said } = run({}, ({ connection, client, at, say }) => {
      NEVER.pipe(takeUntil(timer(20, connection.clock)), connection.send()).subscribe();
      at(1, () => client.write('all').end());
      at(3, () => connection.pipe(map(text)).subscribe({ next: say, complete: () => say('over') }));
    });
    expect(said).toEqual(['3 all', '3 over', '20 ended 0 0']);
  });

  it('is no reason to go on after the handler is done', () => {
    const { said } = run({}, ({ connection, client, at, say }) => {
      NEVER.pipe(takeUntil(timer(10, connection.clock)), connection.send()).subscribe(heard(say));
      at(1, () => client.write('unread').write('more'));
      at(12, () => client.end());
    });
    expect(said).toEqual(['10 complete', '12 completed 0 0']);
  });
});

describe('the time for which it was held back', () => {
  const paused = (script: (connection: SocketConnection, at: (ms: number, work: () => void) => void) => void) => {
    const { made } = run({}, ({ connection, client, at }) => {
      merge(connection, NEVER)
        .pipe(concatMap(() => NEVER))
        .subscribe({ error: () => undefined });
      script(connection, at);
      at(100, () => client.break());
      at(100, () => connection.abort());
    });
    return made.book.ends[0]?.paused;
  };

  it('is nothing for one that was not', () => {
    expect(paused(() => undefined)).toEqual({ peer: 0, handler: 0, budget: 0 });
  });

  it.each<[string, number, object]>([
    ['the handler', PauseCause.handler, { peer: 0, handler: 20, budget: 0 }],
    ['the peer', PauseCause.peer, { peer: 20, handler: 0, budget: 0 }],
    ['the budget', PauseCause.budget, { peer: 0, handler: 0, budget: 20 }],
    ['nobody, when others had their turn', PauseCause.yield, { peer: 0, handler: 0, budget: 0 }],
  ])('is blamed on %s', (_whom, cause, expected) => {
    expect(
      paused((connection, at) => {
        at(10, () => connection.control.pause(cause));
        at(30, () => connection.control.resume(cause));
      }),
    ).toEqual(expected);
  });

  it('is the peer’s while it is the handler’s too, the budget’s besides, and adds up', () => {
    expect(
      paused((connection, at) => {
        at(10, () => connection.control.pause(PauseCause.handler));
        at(20, () => connection.control.pause(PauseCause.peer));
        at(25, () => connection.control.pause(PauseCause.budget));
        at(40, () => connection.control.resume(PauseCause.peer));
        at(45, () => connection.control.resume(PauseCause.handler));
        at(50, () => connection.control.resume(PauseCause.budget));
        at(60, () => connection.control.pause(PauseCause.handler));
        at(61, () => connection.control.resume(PauseCause.handler));
      }),
    ).toEqual({ peer: 20, handler: 16, budget: 25 });
  });

  it('is there while it lasts, and up to the end', () => {
    const { said, made } = run({}, ({ connection, at, say }) => {
      connection.subscribe({ error: () => undefined });
      at(10, () => connection.control.pause(PauseCause.handler));
      at(15, () => say(JSON.stringify(connection.paused)));
      at(30, () => connection.abort());
    });
    expect(said[0]).toBe('15 {"peer":0,"handler":5,"budget":0}');
    expect(made.book.ends[0]?.paused).toEqual({ peer: 0, handler: 20, budget: 0 });
  });

  it('is the peer’s while it does not take what is written', () => {
    const { made } = run({ window: 5, highWaterMark: 10 }, ({ connection, client, at }) => {
      client.pause().write('go');
      connection
        .pipe(
          map(() => 'x'.repeat(100)),
          connection.send(),
        )
        .subscribe();
      at(40, () => client.resume());
      at(50, () => client.end());
    });
    expect(made.book.ends).toMatchObject([{ paused: { peer: 40, handler: 0, budget: 0 } }]);
  });
});

it('a handler that works on one thing after the other has what came meanwhile, in order', () => {
  const done = new Subject<string>();
  const { made } = run({}, ({ connection, client, at }) => {
    connection
      .pipe(
        concatMap((chunk) => timer(10).pipe(map(() => text(chunk)))),
        connection.send(),
      )
      .subscribe(done);
    client.write('a').write('b').write('c').end();
    at(1, () => undefined);
  });
  expect(made.client.text).toBe('abc');
});
