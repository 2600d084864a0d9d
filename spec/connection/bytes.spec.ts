import { Observable, Subscription } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Bytes, borrow, controlOf, LiftedBytes } from '../../lib/connection/bytes.ts';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { ByteSink, SourceControl } from '../../lib/connection/source.ts';
import { idle } from '../../lib/deadline/idle.ts';
import { marbles } from '../support/marbles.ts';
import { pair } from '../support/peers.ts';

/** Bytes that are told what to do, with no connection behind. */
class Told extends Bytes {
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

const sinkTo = (heard: Uint8Array[]): ByteSink => ({ next: (chunk) => heard.push(chunk), error() {}, complete() {} });

describe('Bytes', () => {
  it.each([
    ['a Uint8Array', Uint8Array.of(1, 2, 3)],
    ['a Buffer', Buffer.from([1, 2, 3])],
    ['a part of a larger buffer', new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 4)],
  ])('hands out copies of %s to a plain subscriber', (_what, chunk) => {
    const told = new Told();
    const heard: Uint8Array[] = [];
    told.subscribe((bytes) => heard.push(bytes));
    told.sink?.next(chunk);
    chunk.fill(0xaa);
    expect(heard.map((bytes) => [...bytes])).toEqual([[1, 2, 3]]);
  });

  it("hands on the chunk itself to a plain subscriber where it is the receiver's to keep", () => {
    const told = new Told(false);
    const heard: Uint8Array[] = [];
    told.subscribe((bytes) => heard.push(bytes));
    const chunk = Uint8Array.of(1, 2, 3);
    told.sink?.next(chunk);
    expect(heard[0]).toBe(chunk);
  });

  it('hands on the chunk itself to a sink', () => {
    const told = new Told();
    const heard: Uint8Array[] = [];
    borrow(told, sinkTo(heard));
    const chunk = Uint8Array.of(1, 2, 3);
    told.sink?.next(chunk);
    expect(heard[0]).toBe(chunk);
  });

  it('passes on the end, the error and the unsubscription', () => {
    const heard: unknown[] = [];
    const told = new Told();
    told.subscribe({ complete: () => heard.push('complete') });
    told.sink?.complete();
    told.subscribe({ error: (error) => heard.push(error) });
    told.sink?.error('broken');
    told.subscribe().unsubscribe();
    expect(told.sink).toBe(undefined);
    expect(heard).toEqual(['complete', 'broken']);
  });
});

describe('borrow', () => {
  it('subscribes as usual to what are not Bytes', () => {
    const heard: Uint8Array[] = [];
    const chunk = Uint8Array.of(1);
    borrow(new Observable<Uint8Array>((to) => to.next(chunk)), sinkTo(heard));
    expect(heard[0]).toBe(chunk);
  });
});

describe('LiftedBytes', () => {
  it('has the gate of what it was made from, and copies for plain subscribers only', () => {
    const told = new Told();
    const lifted = new LiftedBytes(told.control, (sink) => told.borrow(sink));
    expect(controlOf(lifted)).toBe(told.control);
    const heard: Uint8Array[] = [];
    const chunk = Uint8Array.of(1);
    borrow(lifted, sinkTo(heard));
    told.sink?.next(chunk);
    lifted.subscribe((bytes) => heard.push(bytes));
    told.sink?.next(chunk);
    chunk.fill(0xaa);
    expect(heard[0]).toBe(chunk);
    expect([...(heard[1] ?? [])]).toEqual([1]);
  });

  const read = (operate: (connection: SocketConnection) => Observable<Uint8Array>, how: 'borrow' | 'subscribe') => {
    const heard: Uint8Array[] = [];
    const run = marbles(({ clock, flush }) => {
      const { client } = pair(clock, {}, ({ connection }) => {
        const bytes = operate(connection);
        if (how === 'borrow') borrow(bytes, sinkTo(heard));
        else bytes.subscribe((chunk) => heard.push(chunk));
      });
      client.write('text').write(Uint8Array.of(1, 2)).end();
      flush();
    });
    run();
    return heard.map((chunk) => Buffer.from(chunk).toString('hex'));
  };

  it.each<[string, (connection: SocketConnection) => Observable<Uint8Array>]>([
    ['a connection', (connection) => connection],
    ['idle() over a connection', (connection) => connection.pipe(idle(100))],
    ['idle() twice over a connection', (connection) => connection.pipe(idle(100), idle(200))],
  ])('reads %s in place, and hands out copies that stay what they were', (_what, operate) => {
    expect(read(operate, 'subscribe')).toEqual(['74657874', '0102']);
    // What was kept from a borrowed chunk is overwritten by then: the network in memory poisons what was read.
    expect(read(operate, 'borrow')).toEqual(['aaaaaaaa', 'aaaa']);
  });
});
