import {
  catchError,
  concat,
  filter,
  finalize,
  ignoreElements,
  map,
  merge,
  NEVER,
  Observable,
  of,
  Subject,
  take,
  tap,
} from 'rxjs';
import { describe, expect, it } from 'vitest';
import { MemoryBudget } from '../../lib/connection/memoryBudget.ts';
import type { Deadlines } from '../../lib/connection/watchdog.ts';
import type { Data } from '../../lib/connection/writeQueue.ts';
import {
  ConnectionClosedError,
  DeadlineError,
  FrameInvalidError,
  FrameTooLongError,
  FrameTruncatedError,
  SlowConsumerError,
} from '../../lib/errors.ts';
import { lines } from '../../lib/framing/lines.ts';
import { noteEnd, run } from '../support/peers.ts';

const text = (chunk: Uint8Array) => Buffer.from(chunk).toString();
const endless = Number.POSITIVE_INFINITY;
const deadlines = (some: Partial<Deadlines>): Deadlines => ({
  idle: endless,
  greeting: endless,
  frame: endless,
  reply: endless,
  grace: 100,
  ...some,
});
const ignored = { error: () => undefined };

describe('a connection', () => {
  it('reads nothing before it is subscribed to', () => {
    const { notes } = run({}, ({ connection, client, flow, at, note }) => {
      client.write('early');
      at(5, () => note(`${connection.bytesIn} ${flow.length}`));
      at(6, () => connection.subscribe((chunk) => note(text(chunk))));
      at(7, () => client.end());
    });
    expect(notes).toEqual(['5 0 0', '6 early', '7 ended 0 0']);
  });

  it('can be subscribed to once', () => {
    const { notes } = run({}, ({ connection, client, note }) => {
      connection.subscribe(noteEnd(note));
      connection.subscribe(noteEnd(note));
      client.end();
    });
    expect(notes).toEqual([
      '0 Cannot use connection 1: it has already been subscribed to',
      '0 complete',
      '0 ended 0 0',
    ]);
  });

  it('releases its memory when it is refused, and rejects the promises of write()', async () => {
    const budget = new MemoryBudget(1000);
    let written: Promise<void> | undefined;
    const totals: number[] = [];
    run({ budget, window: 5, highWaterMark: 10 }, ({ connection, client, at }) => {
      client.pause();
      void connection.write('x'.repeat(100));
      at(1, () => {
        written = connection.write('y');
      });
      at(2, () => {
        totals.push(budget.total);
        connection.refuse();
      });
    });
    expect([...totals, budget.total]).toEqual([101, 0]);
    await expect(written).rejects.toThrow(ConnectionClosedError);
  });

  it('returns one promise for all writes above the mark, which is resolved when there is room', async () => {
    const promises: Promise<void>[] = [];
    const { notes } = run({ window: 5, highWaterMark: 10 }, ({ connection, client, at }) => {
      client.pause();
      void connection.write('0123456789abcdef');
      at(1, () => {
        for (let i = 0; i < 1000; i++) promises.push(connection.write('x'));
      });
      at(2, () => client.resume());
      at(5, () => {
        promises.push(connection.write('y'));
        connection.abort();
      });
    });
    expect(new Set(promises.slice(0, 1000)).size).toBe(1);
    expect(promises[1000]).not.toBe(promises[0]);
    await promises[0];
    expect(notes).toEqual(['5 aborted 1016 1']);
  });

  it('rejects a write after the end with the reason: our FIN is sent, or the connection is closed', async () => {
    const written: Promise<void>[] = [];
    run({}, ({ connection, at }) => {
      connection.subscribe({ error: () => undefined });
      connection.halfClose();
      written.push(connection.write('late'));
      at(1, () => connection.abort());
      at(2, () => written.push(connection.write('later')));
    });
    const [late, later] = await Promise.allSettled(written);
    expect([late, later]).toMatchObject([{ reason: { reason: 'half-closed' } }, { reason: { reason: 'aborted' } }]);
  });

  it('emits no frame after the handler has ended it, and half a frame is then no error', () => {
    const { notes } = run({}, ({ connection, client, note }) => {
      const endAfter = (line: string) => {
        note(line);
        connection.end();
      };
      connection.pipe(lines(), tap(endAfter), ignoreElements()).subscribe(noteEnd(note));
      client.write('a\nb\nhalf a line').end();
    });
    expect(notes).toEqual(['0 a', '0 complete', '0 completed 0 0']);
  });

  it('notifies its owner once that it is taken, by the first of subscribe() and send()', () => {
    const { made } = run({}, ({ connection, client }) => {
      connection.pipe(connection.send()).subscribe(ignored);
      client.end();
    });
    expect(made.owner.log).toEqual(['taken 1', 'closed 1 ended']);
  });

  it('ends when it is unsubscribed from, if send() is not in use', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      connection.pipe(take(1)).subscribe((chunk) => note(text(chunk)));
      client.write('one').write('two');
      at(5, () => client.end());
    });
    expect(notes).toEqual(['0 one', '5 completed 0 0']);
  });

  it('sends replies after the FIN of its peer, because it is half-open', () => {
    const { notes, made } = run({}, ({ connection, client, at, note }) => {
      const late = new Observable<Data>((to) => {
        at(10, () => {
          to.next('late');
          to.complete();
        });
      });
      concat(connection.pipe(map((chunk) => text(chunk).toUpperCase())), late)
        .pipe(connection.send())
        .subscribe(noteEnd(note));
      client.write('quick').end();
    });
    expect(made.client.text).toBe('QUICKlate');
    expect(notes).toEqual(['10 complete', '10 ended 9 0']);
  });

  it('lingers: it discards what it receives after its FIN, until the FIN of the peer', () => {
    const { notes, made } = run({ linger: 50 }, ({ connection, client, at, note }) => {
      connection
        .pipe(
          take(1),
          map(() => 'bye'),
          connection.send(),
        )
        .subscribe(noteEnd(note));
      for (const ms of [5, 10, 15, 20]) at(ms, () => client.write('more'));
      at(30, () => client.end());
    });
    expect(notes).toEqual(['5 complete', '30 completed 3 0']);
    expect(made.owner.ends[0]?.bytesIn).toBe(16);
    expect(made.client.reset).toBe(false);
  });

  it('lingers no longer than `linger`, although the peer continues to send', () => {
    const { notes } = run({ linger: 50 }, ({ connection, client, at, note }) => {
      connection
        .pipe(
          take(1),
          map(() => 'bye'),
          connection.send(),
        )
        .subscribe(noteEnd(note));
      for (let ms = 5; ms < 100; ms += 5) at(ms, () => client.write('more'));
    });
    expect(notes).toEqual(['5 complete', '55 completed 3 0']);
  });

  it('errors and unsubscribes from its operators as soon as it is reset', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      connection
        .pipe(finalize(() => note('unsubscribed')))
        .subscribe({ error: (error) => note(`${error.name}: ${error.reason}`) });
      at(5, () => client.break());
    });
    expect(notes).toEqual(['5 ConnectionClosedError: reset', '5 unsubscribed', '5 reset 0 0']);
  });

  it('has its figures while it is open, and after it is closed', () => {
    const { notes, made } = run({ window: 4, linger: 10 }, ({ connection, client, at, note }) => {
      const figures = () => note(`in ${connection.bytesIn}, out ${connection.bytesOut}, unsent ${connection.unsent}`);
      client.pause().write('12345');
      merge(connection, NEVER)
        .pipe(
          map(() => 'aé'),
          take(1),
          (one) => merge(one, of('bé'), NEVER),
          connection.send(),
        )
        .subscribe(ignored);
      at(1, figures);
      at(2, () => connection.abort());
      at(3, figures);
    });
    expect(notes).toEqual(['1 in 5, out 4, unsent 2', '2 aborted 4 2', '3 in 5, out 4, unsent 2']);
    expect(made.owner.ends).toMatchObject([{ reason: 'aborted', bytesIn: 5, bytesOut: 4, unsent: 2, duration: 2 }]);
  });

  it('counts as unsent, in bytes, what was written in the callback that aborts it', () => {
    const { made } = run({}, ({ connection, at }) => {
      const replies = new Subject<Data>();
      replies.pipe(connection.send()).subscribe(ignored);
      at(5, () => {
        replies.next('é');
        connection.abort();
      });
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'aborted', bytesOut: 0, unsent: 2 }]);
  });
});

describe('a close reason', () => {
  it.each([
    new FrameTooLongError(1, 2),
    new FrameTruncatedError(1),
    new FrameInvalidError('no'),
    new SlowConsumerError(1, 2),
    new DeadlineError('idle', 1),
    new Error('any'),
  ])('is `failed` for every error that the handler makes itself: %s', (error) => {
    const { made } = run({}, ({ connection, client, at }) => {
      merge(connection, NEVER)
        .pipe(
          tap(() => {
            throw error;
          }),
          connection.send(),
        )
        .subscribe(ignored);
      client.write('x');
      at(3, () => client.end());
    });
    expect(made.owner.ends).toMatchObject([
      { reason: 'failed', error, bytesIn: 1, bytesOut: 0, unsent: 0, duration: 3 },
    ]);
    expect(made.owner.ends[0]).not.toHaveProperty('deadline');
  });

  it('is the first one', () => {
    const { made } = run({}, ({ connection, client, at }) => {
      NEVER.pipe(connection.send()).subscribe(ignored);
      at(1, () => connection.closeAs(new FrameTooLongError(1, 2)));
      at(2, () => connection.closeAs(new FrameInvalidError('no')));
      at(3, () => connection.abort());
      at(4, () => client.break());
    });
    expect(made.owner.ends.map(({ reason }) => reason)).toEqual(['frame-too-long']);
  });

  it('is reset, and not completed, when a reset discards output', () => {
    const { made } = run({ window: 2 }, ({ connection, client, at }) => {
      client.pause();
      of('abcdef').pipe(connection.send()).subscribe(ignored);
      at(5, () => client.break());
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'reset', bytesOut: 2, unsent: 4, duration: 5 }]);
  });

  it('is reset for a connection that a poll finds reset, although a teardown throws', () => {
    const { made } = run({}, ({ connection, at }) => {
      connection.subscribe(ignored).add(() => {
        throw new Error('in a teardown');
      });
      at(5, () => connection.lost());
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'reset', duration: 5 }]);
  });

  it('is aborted, and not drained, when an abort discards output', () => {
    const { made } = run({ window: 2 }, ({ connection, client, at }) => {
      client.pause();
      merge(of('abcdef'), connection.pipe(ignoreElements())).pipe(connection.send()).subscribe(ignored);
      at(5, () => connection.drain());
      at(8, () => connection.abort());
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'aborted', bytesIn: 0, bytesOut: 2, unsent: 4, duration: 8 }]);
  });

  it('stays completed when an abort follows after all output and our FIN were sent', () => {
    const { made } = run({}, ({ connection, at }) => {
      of('abcdef').pipe(connection.send()).subscribe(ignored);
      at(8, () => connection.abort());
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'completed', bytesIn: 0, bytesOut: 6, unsent: 0, duration: 8 }]);
  });

  it('is drained when the handler completes in a drain', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      connection.pipe(map(text), connection.send()).subscribe(noteEnd(note));
      at(5, () => connection.drain());
      at(7, () => client.end());
    });
    expect(notes).toEqual(['5 complete', '7 drained 0 0']);
  });
});

describe('a slow peer', () => {
  it('is reset as slow-consumer when it reads nothing for the time of `stall`', () => {
    const { made } = run({ window: 10, stall: 50 }, ({ connection, client, at }) => {
      client.pause();
      at(10, () => of('x'.repeat(100)).pipe(connection.send()).subscribe(ignored));
    });
    expect(made.owner.ends).toMatchObject([
      { reason: 'slow-consumer', deadline: 'stall', error: { after: 50 }, bytesOut: 10, unsent: 90, duration: 60 },
    ]);
    expect(made.client.reset).toBe(true);
  });

  it('is disconnected when more than maxOutbound would be unsent, counted in bytes and not in characters', () => {
    const { made } = run({ window: 1, maxOutbound: 100, highWaterMark: 5 }, ({ connection, client, at }) => {
      client.pause();
      connection.subscribe({ error() {} });
      connection.output.push('x'.repeat(11));
      at(1, () => connection.output.push('€'.repeat(31)));
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'slow-consumer', error: { limit: 100, unsent: 103 } }]);
  });

  it('is served as long as it reads something, be it of one large write or with an ever longer queue', () => {
    for (const behind of [0, 100]) {
      const { made } = run({ window: 10, stall: 50 }, ({ connection, client, at }) => {
        client.pause();
        const replies = new Subject<Data>();
        replies.pipe(connection.send()).subscribe(ignored);
        at(0, () => replies.next('x'.repeat(100)));
        // It reads one window of bytes each time. Meanwhile more may be written than it reads.
        for (let ms = 40; ms <= 400; ms += 40) {
          at(ms, () => {
            client.resume().pause();
            replies.next('y'.repeat(behind));
          });
        }
      });
      // It read for the last time at 400. The progress is checked once in each `stall`.
      expect(made.owner.ends.map(({ reason }) => reason)).toEqual(behind === 0 ? [] : ['slow-consumer']);
      for (const { duration } of made.owner.ends) expect(duration).toBeGreaterThanOrEqual(450);
      for (const { duration } of made.owner.ends) expect(duration).toBeLessThanOrEqual(500);
    }
  });

  it('is not idle while its output moves', () => {
    const { made } = run({ window: 10, stall: 1000, linger: 0 }, ({ connection, client, at }) => {
      at(0, () => connection.watchdog.guard(deadlines({ idle: 50 })));
      client.pause();
      merge(of('x'.repeat(100)), connection.pipe(ignoreElements()))
        .pipe(connection.send())
        .subscribe(ignored);
      for (let ms = 40; ms <= 200; ms += 40) at(ms, () => client.resume().pause());
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'deadline', deadline: 'idle' }]);
    expect(made.owner.ends[0]?.duration).toBeGreaterThanOrEqual(250);
    expect(made.owner.ends[0]?.duration).toBeLessThanOrEqual(300);
  });

  it('is idle when it reads nothing, however much is queued for it', () => {
    const { made } = run({ window: 10, stall: 1000, linger: 0 }, ({ connection, client, at }) => {
      at(0, () => connection.watchdog.guard(deadlines({ idle: 50 })));
      client.pause();
      const replies = new Subject<Data>();
      merge(replies, connection.pipe(ignoreElements())).pipe(connection.send()).subscribe(ignored);
      for (let ms = 0; ms <= 200; ms += 10) at(ms, () => replies.next('x'.repeat(70_000)));
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'deadline', deadline: 'idle', duration: 50 }]);
  });
});

describe('deadlines of a served connection', () => {
  it('let the handler send a last reply when one is missed', () => {
    const { notes, made } = run({}, ({ connection, client, at, note }) => {
      at(0, () => connection.watchdog.guard(deadlines({ idle: 50 })));
      connection
        .pipe(
          map(text),
          catchError((error) => of(`ERR ${error.deadline}`)),
          connection.send(),
        )
        .subscribe(noteEnd(note));
      at(60, () => client.end());
    });
    expect(made.client.text).toBe('ERR idle');
    expect(notes).toEqual(['50 complete', '60 deadline 8 0']);
    expect(made.owner.ends).toMatchObject([{ deadline: 'idle' }]);
  });

  it('reset the connection after `linger` when the handler does not complete', () => {
    const { notes } = run({ linger: 30 }, ({ connection, at, note }) => {
      at(0, () => connection.watchdog.guard(deadlines({ greeting: 50 })));
      connection
        .pipe(
          map(text),
          catchError(() => NEVER),
          connection.send(),
        )
        .subscribe(noteEnd(note));
    });
    expect(notes).toEqual(['80 complete', '80 deadline 0 0']);
  });

  it('drain the connection when its lifetime is over, and reset it when its grace is over', () => {
    const { notes } = run({}, ({ connection, at, note }) => {
      at(0, () => {
        connection.watchdog.guard(deadlines({ grace: 40 }));
        connection.watchdog.expireAfter(60);
      });
      connection.draining.subscribe(() => note('draining'));
      merge(connection.pipe(map(text)), NEVER)
        .pipe(connection.send())
        .subscribe(noteEnd(note));
    });
    expect(notes).toEqual(['60 draining', '100 complete', '100 deadline 0 0']);
  });

  it.each([
    ['idle', 50, 1000, 50],
    ['lifetime', 1000, 50, 50],
  ])('close by the one that is over first, which is %s', (deadline, idle, lifetime, duration) => {
    const { made } = run({ linger: 0 }, ({ connection, at }) => {
      at(0, () => {
        connection.watchdog.guard(deadlines({ idle, grace: 0 }));
        connection.watchdog.expireAfter(lifetime);
      });
      connection.pipe(map(text), connection.send()).subscribe(ignored);
    });
    expect(made.owner.ends).toMatchObject([{ reason: 'deadline', deadline, duration }]);
  });

  it('drain the connection once at the end of its lifetime, also with an infinite grace', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      at(0, () => {
        connection.watchdog.guard(deadlines({ grace: endless }));
        connection.watchdog.expireAfter(60);
      });
      connection.pipe(map(text), (replies) => merge(replies, NEVER), connection.send()).subscribe(noteEnd(note));
      connection.draining.subscribe(() => note('draining'));
      at(90, () => client.break());
    });
    expect(notes).toEqual(['60 draining', '90 complete', '90 deadline 0 0']);
  });
});

describe('draining and closed', () => {
  it('emit once to early and to late subscribers, and complete', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      const observe = (name: string) => {
        connection.draining.subscribe({ next: () => note(`${name} draining`), complete: () => note(`${name} over`) });
        connection.closed.subscribe({
          next: ({ reason }) => note(`${name} ${reason}`),
          complete: () => note(`${name} closed`),
        });
      };
      NEVER.pipe(connection.send()).subscribe(ignored);
      observe('early');
      at(5, () => connection.drain());
      at(6, () => connection.drain());
      at(7, () => observe('late'));
      at(9, () => client.write('').break());
      at(10, () => connection.abort());
      at(11, () => observe('last'));
    });
    expect(notes).toEqual([
      '5 early draining',
      '5 early over',
      '7 late draining',
      '7 late over',
      '9 reset 0 0',
      '9 early reset',
      '9 early closed',
      '9 late reset',
      '9 late closed',
      '11 last draining',
      '11 last over',
      '11 last reset',
      '11 last closed',
    ]);
  });

  it('complete `draining` without a value when the connection closes without a drain', () => {
    const { notes } = run({}, ({ connection, at, note }) => {
      connection.draining.subscribe(noteEnd(note));
      at(3, () => connection.abort());
    });
    expect(notes).toEqual(['3 aborted 0 0', '3 complete']);
  });

  it('complete the input where a sink with `drain` completes it, which may be at its next chunk', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      let draining = false;
      const framed = new Observable<Data>((to) =>
        connection.borrow({
          next: (chunk) => {
            to.next(text(chunk));
            if (draining) to.complete();
          },
          error: (error) => to.error(error),
          complete: () => to.complete(),
          drain: () => {
            draining = true;
            note('drain');
          },
        }),
      );
      framed.pipe(connection.send()).subscribe(noteEnd(note));
      at(5, () => connection.drain());
      at(8, () => client.write('rest').end());
    });
    expect(notes).toEqual(['5 drain', '8 complete', '8 drained 4 0']);
  });
});

describe('refuse', () => {
  it('notifies the owner of a connection that nothing has subscribed to, and does nothing later', () => {
    const { made, notes } = run({}, ({ connection, note }) => {
      connection.refuse('full moon');
      connection.subscribe(noteEnd(note));
      connection.pipe(filter(() => true)).subscribe({ error: (error) => note(error.name) });
    });
    expect(made.owner.log).toEqual(['refuse 1 full moon', 'missed 1', 'closed 1 aborted']);
    expect(notes).toEqual(['0 AlreadySubscribedError', '0 aborted 0 0', '0 complete']);
    const taken = run({}, ({ connection, client }) => {
      connection.subscribe(ignored);
      connection.refuse();
      client.end();
    });
    expect(taken.made.owner.log).toEqual(['taken 1', 'closed 1 ended']);
  });
});
