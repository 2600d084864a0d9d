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
import { noteEnd, run } from '../support/peers.ts';

const text = (chunk: Uint8Array) => Buffer.from(chunk).toString();

describe('a paused input', () => {
  it('buffers one read, then pauses the socket, and delivers the read when it is resumed', () => {
    const { notes } = run({}, ({ connection, client, flow, at, note }) => {
      connection.pipe(map(text), connection.send()).subscribe(noteEnd(note));
      at(1, () => connection.control.pause(PauseCause.handler));
      at(2, () => note(`${flow} ${connection.bytesIn}`));
      at(3, () => client.write('one').write('two').write('three'));
      at(4, () => note(`${flow} ${connection.bytesIn}`));
      at(5, () => connection.control.resume(PauseCause.handler));
      at(6, () => note(`${flow} ${connection.bytesIn}`));
      at(7, () => client.end());
    });
    // A pause alone makes no call of the socket: the read that is buffered makes the first one.
    expect(notes).toEqual(['2 resume 0', '4 resume,pause 3', '6 resume,pause,resume 11', '7 complete', '7 ended 11 0']);
  });

  it('makes no pause call of the socket when it is resumed before more bytes arrive', () => {
    const { notes } = run({}, ({ connection, client, flow, at, note }) => {
      connection.pipe(map(text), connection.send()).subscribe(noteEnd(note));
      at(1, () => connection.control.pause(PauseCause.handler));
      at(2, () => connection.control.resume(PauseCause.handler));
      at(3, () => note(flow));
      at(4, () => client.end());
    });
    // A `resume` of a socket that is not paused does nothing.
    expect(String(notes[0]).replaceAll(',resume', '')).toBe('3 resume');
  });

  it('is resumed when its last pause cause is removed', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      connection.pipe(map(text)).subscribe(note);
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
    expect(notes).toEqual(['4 x', '5 ended 0 0']);
  });

  // Otherwise two endpoints that both write without reading would deadlock.
  it('is not paused by output that was written with write()', () => {
    const { notes } = run({ window: 10, highWaterMark: 100 }, ({ connection, client, at, note }) => {
      connection.pipe(map(text)).subscribe(note);
      client.pause();
      at(1, () => void connection.write('x'.repeat(1000)));
      at(2, () => client.write('a request'));
      at(3, () => note(`${connection.unsent} unsent`));
      at(4, () => client.resume());
      at(5, () => client.end());
    });
    expect(notes).toEqual(['2 a request', '3 990 unsent', '5 ended 1000 0']);
  });

  it('delivers the FIN after the buffered read', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      connection
        .pipe(
          map(text),
          finalize(() => note('over')),
        )
        .subscribe(note);
      at(1, () => {
        connection.control.pause(PauseCause.handler);
        client.write('x').end();
      });
      at(5, () => connection.control.resume(PauseCause.handler));
    });
    expect(notes).toEqual(['5 x', '5 over', '5 ended 0 0']);
  });

  it('is discarded after its subscriber unsubscribes at the read that yields to other connections', () => {
    const full = Buffer.alloc(64 * 1024);
    const { notes } = run({}, ({ connection, client, at, note }) => {
      // The sixteenth full read in a row is the last of one event-loop iteration.
      merge(connection.pipe(take(16), ignoreElements()), NEVER)
        .pipe(connection.send())
        .subscribe();
      for (let i = 0; i < 16; i++) client.write(full);
      at(5, () => client.write('bytes to discard.').end());
      at(6, () => note(connection.bytesIn - 16 * full.length));
      at(7, () => connection.end());
    });
    expect(notes).toEqual(['6 17', '7 ended 0 0']);
  });

  it('delivers the FIN after all frames, although it is paused and resumed within a frame', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      const pauseAfter = (line: string) => {
        note(line);
        connection.control.pause(line === 'a' ? PauseCause.budget : PauseCause.handler);
        connection.control.resume(PauseCause.budget);
      };
      connection.pipe(lines(), tap(pauseAfter), ignoreElements(), connection.send()).subscribe(noteEnd(note));
      client.write('0\na\nb\nc\n').end();
      for (const ms of [1, 2, 3]) at(ms, () => connection.control.resume(PauseCause.handler));
    });
    expect(notes).toEqual(['0 0', '1 a', '1 b', '2 c', '3 complete', '3 ended 0 0']);
  });

  it.each<[string, (reading: Subscription, connection: SocketConnection) => void, string]>([
    ['its subscriber unsubscribes', (reading) => reading.unsubscribe(), 'ended'],
    ['it is resumed', (_reading, connection) => connection.control.resume(PauseCause.handler), 'ended'],
    ['it is ended', (_reading, connection) => connection.end(), 'completed'],
  ])('keeps a connection open after both FINs until %s', (_when, finish, reason) => {
    const { notes, made } = run({}, ({ connection, client, at, note }) => {
      const reading = connection.subscribe();
      at(1, () => connection.control.pause(PauseCause.handler));
      at(2, () => connection.halfClose());
      at(3, () => client.end());
      at(4, () => note('open'));
      at(5, () => finish(reading, connection));
    });
    expect(notes).toEqual(['4 open', `5 ${reason} 0 0`]);
    expect(made.network.sockets.size).toBe(0);
  });

  it.each([
    ['is read', 'completes', 'ended'],
    ['is read', 'fails', 'failed'],
    ['is not read', 'completes', 'completed'],
    ['is not read', 'fails', 'failed'],
  ])(
    'that %s keeps a connection open after both FINs until the source of send() %s, which decides the close reason',
    (input, how, reason) => {
      const { notes, made } = run({}, ({ connection, client, at, note }) => {
        const replies = new Subject<Data>();
        const done = new Subject<void>();
        const reading = input === 'is read' ? connection.pipe(ignoreElements()) : NEVER;
        merge(reading, replies).pipe(takeUntil(done), connection.send()).subscribe(noteEnd(note));
        at(1, () => connection.control.pause(PauseCause.handler));
        at(2, () => connection.halfClose());
        at(3, () => client.end());
        at(4, () => note('open'));
        at(5, () => (how === 'fails' ? replies.error(new Error('no')) : done.next()));
      });
      expect(notes).toEqual(['4 open', how === 'fails' ? '5 no' : '5 complete', `5 ${reason} 0 0`]);
      expect(made.network.sockets.size).toBe(0);
    },
  );

  it('counts nothing in the budget after its subscriber unsubscribes, be it a buffered read or half a frame', () => {
    const budget = new MemoryBudget(1000);
    const { notes } = run({ budget }, ({ connection, client, at, note }) => {
      const reading = new Subject<void>();
      merge(connection.pipe(lines(), takeUntil(reading), ignoreElements()), NEVER)
        .pipe(connection.send())
        .subscribe();
      client.write('half a line');
      at(1, () => {
        connection.control.pause(PauseCause.handler);
        client.write(', a buffered read.');
      });
      at(2, () => note(budget.total));
      at(3, () => reading.next());
      at(4, () => note(budget.total));
      at(5, () => connection.abort());
    });
    expect(notes).toEqual(['2 29', '4 0', '5 aborted 0 0']);
  });

  it('errors when the connection is aborted, and the buffered read is discarded', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      connection.pipe(map(text)).subscribe({ next: note, error: (error: Error) => note(error.name) });
      at(1, () => {
        connection.control.pause(PauseCause.handler);
        client.write('x');
      });
      at(3, () => connection.abort());
      at(5, () => connection.control.resume(PauseCause.handler));
    });
    expect(notes).toEqual(['3 ConnectionClosedError', '3 aborted 0 0']);
  });
});

/** A liveness poller that does not poll, and shows the connections that it would poll. */
class RecordingPoller extends LivenessPoller {
  readonly polled = new Set<Polled>();
  override add(connection: Polled): void {
    this.polled.add(connection);
  }
  override delete(connection: Polled): void {
    this.polled.delete(connection);
  }
}

describe('the liveness poller', () => {
  it('polls a paused input until all causes but the yield to other connections are removed, in any order', () => {
    const poller = new RecordingPoller();
    const { notes } = run({ livenessPoller: poller, alive: true }, ({ connection, client, at, note }) => {
      connection.subscribe({ error: () => undefined });
      // This read is buffered, and the socket is paused.
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
          note(poller.polled.size);
        });
      }
      at(6, () => connection.abort());
      at(7, () => note(poller.polled.size));
    });
    expect(notes).toEqual(['0 0', '1 1', '2 1', '3 1', '4 0', '5 0', '6 aborted 0 0', '7 0']);
  });
});

describe('an input that the handler does not read', () => {
  it('notices a reset, and unsubscribes from the handler at once', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      NEVER.pipe(
        finalize(() => note('unsubscribed')),
        connection.send(),
      ).subscribe(noteEnd(note));
      at(5, () => client.break());
    });
    expect(notes).toEqual(['5 unsubscribed', '5 complete', '5 reset 0 0']);
  });

  it('buffers one read for a later subscriber, and is polled meanwhile', () => {
    const poller = new RecordingPoller();
    const { notes } = run({ livenessPoller: poller, alive: true }, ({ connection, client, flow, at, note }) => {
      NEVER.pipe(takeUntil(timer(20, connection.clock)), connection.send()).subscribe();
      at(1, () => client.write('one').write('two'));
      at(2, () => note(`${flow} ${connection.bytesIn} ${poller.polled.size}`));
      at(3, () => connection.pipe(map(text)).subscribe({ next: note, complete: () => note('over') }));
      at(4, () => note(poller.polled.size));
      at(5, () => client.write('three').end());
    });
    expect(notes).toEqual(['2 resume,pause 3 1', '3 one', '3 two', '4 0', '5 three', '5 over', '20 ended 0 0']);
  });

  it('keeps the FIN for a later subscriber', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      NEVER.pipe(takeUntil(timer(20, connection.clock)), connection.send()).subscribe();
      at(1, () => client.write('all').end());
      at(3, () => connection.pipe(map(text)).subscribe({ next: note, complete: () => note('over') }));
    });
    expect(notes).toEqual(['3 all', '3 over', '20 ended 0 0']);
  });

  it('does not keep the connection open after the handler has completed', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      NEVER.pipe(takeUntil(timer(10, connection.clock)), connection.send()).subscribe(noteEnd(note));
      at(1, () => client.write('unread').write('more'));
      at(12, () => client.end());
    });
    expect(notes).toEqual(['10 complete', '12 completed 0 0']);
  });
});

describe('the time for which an input was paused', () => {
  const paused = (script: (connection: SocketConnection, at: (ms: number, work: () => void) => void) => void) => {
    const { made } = run({}, ({ connection, client, at }) => {
      merge(connection, NEVER)
        .pipe(concatMap(() => NEVER))
        .subscribe({ error: () => undefined });
      script(connection, at);
      at(100, () => client.break());
      at(100, () => connection.abort());
    });
    return made.owner.ends[0]?.paused;
  };

  it('is 0 for an input that was never paused', () => {
    expect(paused(() => undefined)).toEqual({ peer: 0, handler: 0, budget: 0 });
  });

  it.each<[string, number, object]>([
    ['the handler', PauseCause.handler, { peer: 0, handler: 20, budget: 0 }],
    ['the peer', PauseCause.peer, { peer: 20, handler: 0, budget: 0 }],
    ['the budget', PauseCause.budget, { peer: 0, handler: 0, budget: 20 }],
    ['no cause for a yield to other connections', PauseCause.yield, { peer: 0, handler: 0, budget: 0 }],
  ])('counts for %s', (_cause, cause, expected) => {
    expect(
      paused((connection, at) => {
        at(10, () => connection.control.pause(cause));
        at(30, () => connection.control.resume(cause));
      }),
    ).toEqual(expected);
  });

  it('counts for the peer and not for the handler when both pause it, also for the budget, and adds up', () => {
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

  it('is up to date during a pause, and in `closed`', () => {
    const { notes, made } = run({}, ({ connection, at, note }) => {
      connection.subscribe({ error: () => undefined });
      at(10, () => connection.control.pause(PauseCause.handler));
      at(15, () => note(JSON.stringify(connection.paused)));
      at(30, () => connection.abort());
    });
    expect(notes[0]).toBe('15 {"peer":0,"handler":5,"budget":0}');
    expect(made.owner.ends[0]?.paused).toEqual({ peer: 0, handler: 20, budget: 0 });
  });

  it('counts for the peer while it does not read the output', () => {
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
    expect(made.owner.ends).toMatchObject([{ paused: { peer: 40, handler: 0, budget: 0 } }]);
  });
});

it('concatMap receives in order all chunks that arrive while it works on one', () => {
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
