import { concat, finalize, merge, NEVER, Observable, of, Subject, takeUntil, tap, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { Data } from '../../lib/connection/writeQueue.ts';
import { marbles } from '../support/marbles.ts';
import { noteEnd, pair, run } from '../support/peers.ts';

describe('send', () => {
  it(
    'writes in order what is emitted, and completes when all of it is flushed',
    marbles(({ clock, hot, expectObservable, expectSubscriptions }) => {
      const source = hot<Data>('            --a-b---c--|      ');
      const sent = '                        -----------------|';
      const subscribed = '                  ^----------!      ';
      const at = pair(clock, { window: 1 }, ({ connection }) => {
        expectObservable(source.pipe(connection.send())).toBe(sent);
        expectSubscriptions(source.subscriptions).toBe(subscribed);
        expectObservable(new Observable<string>((to) => void clock.schedule(() => to.next(at.client.text), 20))).toBe(
          '20ms t',
          { t: 'abc' },
        );
      });
      at.client.pause();
      clock.schedule(() => at.client.resume(), 17);
    }),
  );

  it('makes one write of all values of one event-loop iteration', () => {
    const { made } = run({}, ({ connection, client, at, note }) => {
      const source = new Observable<Data>((to) => {
        for (const ms of [5, 9]) at(ms, () => of('a', Buffer.from('b'), 'c').subscribe((piece) => to.next(piece)));
      });
      source.pipe(connection.send()).subscribe(noteEnd(note));
      at(20, () => client.break());
    });
    expect(made.writes).toEqual(['abc', 'abc']);
  });

  it('makes one write of the replies to one chunk, and sends its FIN after them', () => {
    const { notes, made } = run({}, ({ connection, client, note }) => {
      const replies = new Observable<Data>((to) =>
        connection.subscribe((chunk) => {
          for (const byte of chunk) to.next(`${byte};`);
          to.complete();
        }),
      );
      replies.pipe(connection.send()).subscribe(noteEnd(note));
      client.write(Uint8Array.of(1, 2, 3)).end();
    });
    expect(made.writes).toEqual(['1;2;3;']);
    expect(made.client.ended).toBe(true);
    expect(notes).toEqual(['0 complete', '0 completed 6 0']);
  });

  it('errors at once with the error of the source, flushes what was written, and closes as failed', () => {
    const { notes, made } = run({}, ({ connection, client, note }) => {
      concat(
        of('last value'),
        throwError(() => new Error('broken')),
      )
        .pipe(connection.send())
        .subscribe(noteEnd(note));
      client.end();
    });
    expect(made.client.text).toBe('last value');
    expect(notes).toEqual(['0 broken', '0 failed 10 0']);
  });

  it.each([[null], [5], [{}], [Object.create(null)], [[1, 2]], [Symbol('s')]])(
    'errors with a TypeError for %s',
    (value) => {
      const { notes, made } = run({}, ({ connection, client, note }) => {
        concat(of('before', value as Data, 'after'), NEVER)
          .pipe(connection.send())
          .subscribe(noteEnd(note));
        client.end();
      });
      expect(notes[0]).toMatch(/^0 Cannot send .*: it is neither a string nor a Uint8Array$/);
      expect(notes[1]).toBe('0 failed 6 0');
      expect(made.client.text).toBe('before');
    },
  );

  it('aborts the connection and unsubscribes from the source when it is unsubscribed', () => {
    const { notes, made } = run({}, ({ connection, at, note }) => {
      const source = concat(of('a'), NEVER).pipe(finalize(() => note('unsubscribed')));
      const subscription = source.pipe(connection.send()).subscribe(noteEnd(note));
      at(5, () => subscription.unsubscribe());
    });
    expect(notes).toEqual(['5 unsubscribed', '5 aborted 1 0']);
    expect(made.client.reset).toBe(true);
  });

  it('stops a synchronous source when it is unsubscribed within a value', () => {
    const stop = new Subject<void>();
    let asked = 0;
    run({}, ({ connection, note }) => {
      const endless = new Observable<Data>((to) => {
        while (!to.closed && asked < 1000) {
          to.next(String(++asked));
          if (asked === 3) stop.next();
        }
      });
      endless.pipe(connection.send(), takeUntil(stop)).subscribe(noteEnd(note));
    });
    expect(asked).toBe(3);
  });

  it('unsubscribes from its source and completes as soon as the connection is reset', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      const source = merge(connection, NEVER).pipe(finalize(() => note('unsubscribed')));
      source.pipe(connection.send()).subscribe(noteEnd(note));
      at(7, () => client.break());
    });
    expect(notes).toEqual(['7 unsubscribed', '7 complete', '7 reset 0 0']);
  });

  it('errors for a second source of one connection', () => {
    const { notes } = run({}, ({ connection, client, note }) => {
      NEVER.pipe(connection.send()).subscribe(noteEnd(note));
      of('a').pipe(connection.send()).subscribe(noteEnd(note));
      client.break();
      connection.abort();
    });
    expect(notes).toEqual([
      '0 Cannot use connection 1: it has already been given a sender',
      '0 complete',
      '0 aborted 0 0',
    ]);
  });

  it('completes without a subscription to its source on a connection that is closed', () => {
    const { notes } = run({}, ({ connection, at, note }) => {
      connection.abort();
      const source = new Observable<Data>(() => note('subscribed'));
      source.pipe(connection.send()).subscribe(noteEnd(note));
      at(5, () => source.pipe(connection.send()).subscribe({ error: () => undefined }));
    });
    expect(notes).toEqual(['0 aborted 0 0', '0 complete']);
  });

  it('completes without a subscription to its source on a connection that has been ended', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      connection.end();
      const source = new Observable<Data>(() => note('subscribed'));
      source.pipe(connection.send()).subscribe(noteEnd(note));
      at(5, () => client.end());
    });
    expect(notes).toEqual(['0 complete', '5 completed 0 0']);
  });

  it('does not complete the input of a handler that completes before the peer has sent its FIN', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      const stop = new Subject<void>();
      const input = connection.pipe(
        tap({ complete: () => note('input completed'), finalize: () => note('unsubscribed') }),
      );
      input.pipe(takeUntil(stop), connection.send()).subscribe(noteEnd(note));
      at(5, () => stop.next());
      at(9, () => client.end());
    });
    expect(notes).toEqual(['5 unsubscribed', '5 complete', '9 completed 0 0']);
  });

  it('does not complete the input of a handler that fails before the peer has sent its FIN', () => {
    const { notes } = run({}, ({ connection, client, at, note }) => {
      const fail = new Subject<Data>();
      const input = connection.pipe(
        tap({ complete: () => note('input completed'), finalize: () => note('unsubscribed') }),
      );
      merge(input, fail).pipe(connection.send()).subscribe(noteEnd(note));
      at(5, () => fail.error(new Error('broken')));
      at(9, () => client.end());
    });
    expect(notes).toEqual(['5 unsubscribed', '5 broken', '9 failed 0 0']);
  });

  it.each<[string, (connection: SocketConnection) => void]>([
    ['the peer resets it', () => undefined],
    ['it is aborted', (connection) => connection.abort()],
    ['it is ended', (connection) => connection.end()],
  ])('reports the error of a teardown, and closes the socket nevertheless, when %s', (_when, stop) => {
    const { notes, made } = run({}, ({ connection, client, at, note }) => {
      const source = connection.pipe(
        finalize(() => {
          throw new Error('in a teardown');
        }),
      );
      source.pipe(connection.send()).subscribe({ error: (error) => note((error as Error).message.split('\n').pop()) });
      at(5, () => stop(connection));
      at(8, () => client.break());
    });
    expect(notes[0]).toMatch(/in a teardown/);
    expect(made.network.sockets.size).toBe(0);
    expect(made.owner.ends.length).toBe(1);
  });

  it('pauses the input above highWaterMark, until the peer has read all output', () => {
    const { notes, made } = run({ highWaterMark: 10, window: 5 }, ({ connection, client, at, note, flow, owner }) => {
      client.pause();
      const replies = connection.pipe(tap((chunk) => note(`request ${chunk.length}`)));
      const source = new Observable<Data>((to) =>
        replies.subscribe({ next: () => to.next('0123456789abcdefghij'), complete: () => to.complete() }),
      );
      source.pipe(connection.send()).subscribe(noteEnd(note));
      at(1, () => client.write('1'));
      at(2, () => client.write('22'));
      at(3, () => note(`unsent ${connection.unsent}, ${flow.at(-1)}, ${owner.ends.length} ends`));
      at(10, () => client.resume());
      at(12, () => client.end());
    });
    expect(notes).toEqual([
      '1 request 1',
      '3 unsent 15, pause, 0 ends',
      '10 request 2',
      '12 complete',
      '12 ended 40 0',
    ]);
    expect(made.client.bytes.length).toBe(40);
  });
});
