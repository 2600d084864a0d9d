import { Observable, Subscription } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Bytes, borrow, controlOf, LiftedBytes } from '../../lib/connection/bytes.ts';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { ByteSink, SourceControl } from '../../lib/connection/source.ts';
import { idle } from '../../lib/deadline/idle.ts';
import { marbles } from '../support/marbles.ts';
import { pair } from '../support/peers.ts';

/** Bytes whose sink the spec calls by hand, without a connection. */
class ManualBytes extends Bytes {
  readonly control: SourceControl;
  sink: ByteSink | undefined;
  constructor(borrowed = true) {
    super();
    this.control = { borrowed } as SourceControl;
  }
  borrow(sink: ByteSink): Subscription {
    this.sink = sink;
    return new Subscription(() => {
      this.sink = undefined;
    });
  }
}

const sinkTo = (seen: Uint8Array[]): ByteSink => ({ next: (chunk) => seen.push(chunk), error() {}, complete() {} });

describe('Bytes', () => {
  it.each([
    ['a Uint8Array', Uint8Array.of(1, 2, 3)],
    ['a Buffer', Buffer.from([1, 2, 3])],
    ['a part of a larger buffer', new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 4)],
  ])('emits a copy of %s to a plain subscriber', (_what, chunk) => {
    const source = new ManualBytes();
    const seen: Uint8Array[] = [];
    source.subscribe((bytes) => seen.push(bytes));
    source.sink?.next(chunk);
    chunk.fill(0xaa);
    expect(seen.map((bytes) => [...bytes])).toEqual([[1, 2, 3]]);
  });

  it('emits the chunk itself to a plain subscriber if chunks are not borrowed', () => {
    const source = new ManualBytes(false);
    const seen: Uint8Array[] = [];
    source.subscribe((bytes) => seen.push(bytes));
    const chunk = Uint8Array.of(1, 2, 3);
    source.sink?.next(chunk);
    expect(seen[0]).toBe(chunk);
  });

  it('emits the chunk itself to a sink', () => {
    const source = new ManualBytes();
    const seen: Uint8Array[] = [];
    borrow(source, sinkTo(seen));
    const chunk = Uint8Array.of(1, 2, 3);
    source.sink?.next(chunk);
    expect(seen[0]).toBe(chunk);
  });

  it('passes on the completion, the error and the unsubscription', () => {
    const seen: unknown[] = [];
    const source = new ManualBytes();
    source.subscribe({ complete: () => seen.push('complete') });
    source.sink?.complete();
    source.subscribe({ error: (error) => seen.push(error) });
    source.sink?.error('broken');
    source.subscribe().unsubscribe();
    expect(source.sink).toBe(undefined);
    expect(seen).toEqual(['complete', 'broken']);
  });
});

describe('borrow', () => {
  it('subscribes as usual to an Observable that is not Bytes', () => {
    const seen: Uint8Array[] = [];
    const chunk = Uint8Array.of(1);
    borrow(new Observable<Uint8Array>((to) => to.next(chunk)), sinkTo(seen));
    expect(seen[0]).toBe(chunk);
  });
});

describe('LiftedBytes', () => {
  it('has the control that it was made with, and copies for plain subscribers only', () => {
    const source = new ManualBytes();
    const lifted = new LiftedBytes(source.control, (sink) => source.borrow(sink));
    expect(controlOf(lifted)).toBe(source.control);
    const seen: Uint8Array[] = [];
    const chunk = Uint8Array.of(1);
    borrow(lifted, sinkTo(seen));
    source.sink?.next(chunk);
    lifted.subscribe((bytes) => seen.push(bytes));
    source.sink?.next(chunk);
    chunk.fill(0xaa);
    expect(seen[0]).toBe(chunk);
    expect([...(seen[1] ?? [])]).toEqual([1]);
  });

  const read = (operate: (connection: SocketConnection) => Observable<Uint8Array>, how: 'borrow' | 'subscribe') => {
    const seen: Uint8Array[] = [];
    const run = marbles(({ clock, flush }) => {
      const { client } = pair(clock, {}, ({ connection }) => {
        const bytes = operate(connection);
        if (how === 'borrow') borrow(bytes, sinkTo(seen));
        else bytes.subscribe((chunk) => seen.push(chunk));
      });
      client.write('text').write(Uint8Array.of(1, 2)).end();
      flush();
    });
    run();
    return seen.map((chunk) => Buffer.from(chunk).toString('hex'));
  };

  it.each<[string, (connection: SocketConnection) => Observable<Uint8Array>]>([
    ['a connection', (connection) => connection],
    ['idle() over a connection', (connection) => connection.pipe(idle(100))],
    ['idle() twice over a connection', (connection) => connection.pipe(idle(100), idle(200))],
  ])('reads %s in place, and emits copies to subscribers', (_what, operate) => {
    expect(read(operate, 'subscribe')).toEqual(['74657874', '0102']);
    // A kept borrowed chunk is overwritten: the network in memory overwrites each chunk after the read.
    expect(read(operate, 'borrow')).toEqual(['aaaaaaaa', 'aaaa']);
  });
});
