import { once } from 'node:events';
import { finalize, firstValueFrom, from, map, type ObservableInput, ReplaySubject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { ConnectionClosedError } from '../../lib/errors.ts';
import type { Closed } from '../../lib/events.ts';
import { lines } from '../../lib/framing/lines.ts';
import { internalsOf } from '../support/internals.ts';
import { dialTo, openConnections, readAll } from '../support/sockets.ts';
import { talk } from '../support/talk.ts';
import { TestServer } from '../support/testServer.ts';

const handler =
  (work: (connection: Connection) => ObservableInput<never> | Promise<unknown>) => (connection: Connection) =>
    from(work(connection) as Promise<undefined>).pipe(map(() => undefined));

describe('a loop over a connection', () => {
  it('receives every frame, writes, and ends with its input; what it writes after the FIN is sent too', async () => {
    const { client, clock, owner } = await talk(
      handler(async (connection) => {
        for await (const line of connection.pipe(lines())) await connection.write(`${line}!`);
        await connection.write('bye');
      }),
    );
    client.write('a\nb').write('\nc\n').end();
    await clock.settle();
    expect([client.text, client.ended]).toEqual(['a!b!c!bye', true]);
    expect(owner.ends).toMatchObject([{ reason: 'ended' }]);
  });

  it('reads no faster than its body runs', async () => {
    const steps: (() => void)[] = [];
    const seen: string[] = [];
    const { client, clock, connection } = await talk(
      handler(async (one) => {
        for await (const line of one.pipe(lines())) {
          seen.push(line);
          await new Promise<void>((resolve) => steps.push(resolve));
        }
      }),
    );
    for (let i = 0; i < 100; i++) client.write(`${i}\n`);
    await clock.settle();
    expect(seen).toEqual(['0']);
    expect(connection.bytesIn).toBeLessThan(10);
    for (let i = 1; i < 100; i++) {
      steps.shift()?.();
      await clock.settle();
      expect(seen.length).toBe(i + 1);
    }
    expect(connection.paused.handler).toBe(0);
  });

  it('may write after the FIN from the body that was running when the FIN arrived', async () => {
    let go = () => {};
    const { client, clock } = await talk(
      handler(async (connection) => {
        for await (const line of connection.pipe(lines())) {
          await new Promise<void>((resolve) => {
            go = resolve;
          });
          await connection.write(`${line}!`);
        }
      }),
    );
    client.write('a\n').end();
    await clock.settle();
    expect(client.ended).toBe(false);
    go();
    await clock.settle();
    expect([client.text, client.ended]).toEqual(['a!', true]);
  });

  it.each<[string, () => void, string]>([
    ['break', () => undefined, 'completed'],
    [
      'throw',
      () => {
        throw new Error('no');
      },
      'failed',
    ],
  ])('ends the connection with a %s', async (_how, leave, reason) => {
    const { client, clock, owner } = await talk(
      handler(async (connection) => {
        for await (const line of connection.pipe(lines())) {
          if (line === 'b') {
            leave();
            break;
          }
          await connection.write(`${line}!`);
        }
      }),
    );
    client.write('a\nb\nc\n');
    await clock.settle();
    client.end();
    await clock.settle();
    expect([client.text, client.ended]).toEqual(['a!', true]);
    expect(owner.ends).toMatchObject([{ reason }]);
  });

  it('ends when its body has ended the connection, and emits nothing of the rest of the chunk', async () => {
    const seen: string[] = [];
    const { client, clock, owner } = await talk(
      handler(async (connection) => {
        for await (const line of connection.pipe(lines())) {
          seen.push(line);
          connection.end();
        }
        seen.push('over');
      }),
    );
    client.write('a\nb\nhalf a line').end();
    await clock.settle();
    expect(seen).toEqual(['a', 'over']);
    expect(owner.ends).toMatchObject([{ reason: 'completed' }]);
  });

  it('resolves several calls of next at once with a frame each, and then pauses the input', async () => {
    const seen: unknown[] = [];
    const { client, clock, connection } = await talk(
      handler(async (one) => {
        const frames = one.pipe(lines())[Symbol.asyncIterator]();
        seen.push(await Promise.all([frames.next(), frames.next(), frames.next()]));
        return new Promise(() => undefined);
      }),
    );
    client.write('a\nb\n').write('c\nd\n');
    await clock.settle();
    expect(seen).toEqual([['a', 'b', 'c'].map((value) => ({ done: false, value }))]);
    expect(internalsOf(connection).control.isPaused).toBe(true);
  });

  it.each<[string, () => void]>([
    ['', () => undefined],
    [
      ', whatever a teardown throws',
      () => {
        throw new Error('in a teardown');
      },
    ],
  ])('ends when return is called while next waits%s', async (_whatever, teardown) => {
    const seen: unknown[] = [];
    const { client, clock, owner } = await talk(
      handler(async (connection) => {
        const frames = connection.pipe(lines(), finalize(teardown))[Symbol.asyncIterator]();
        const waiting = frames.next();
        await frames.return?.().catch((error: Error) => seen.push(error.name));
        seen.push(await waiting, await frames.next());
      }),
    );
    client.end();
    await clock.settle();
    const over = { done: true, value: undefined };
    expect(seen.slice(-2)).toEqual([over, over]);
    expect(owner.ends).toMatchObject([{ reason: 'completed' }]);
  });

  it('ends the connection when no send() is active', async () => {
    const closed = new ReplaySubject<Closed>();
    const { port, address } = await openConnections(async (connection) => {
      connection.closed.subscribe(closed);
      for await (const line of connection.pipe(lines())) {
        if (line === 'b') break;
        await connection.write(`${line}!`);
      }
    });
    const client = dialTo(address.port as number);
    const reply = readAll(client);
    client.write('a\nb\nc\n');
    expect((await reply).toString()).toBe('a!');
    client.end();
    expect(await firstValueFrom(closed)).toMatchObject({ reason: 'completed' });
    port.close();
  });

  it('throws ConnectionClosedError when the peer aborts, and FrameTooLongError for a frame that is too long', async () => {
    const seen: string[] = [];
    const watching = handler(async (connection) => {
      try {
        for await (const line of connection.pipe(lines({ maxLength: 5 }))) seen.push(line);
      } catch (error) {
        seen.push((error as Error).name);
      }
    });
    const broken = await talk(watching);
    broken.client.write('a\n');
    await broken.clock.settle();
    broken.client.break();
    await broken.clock.settle();
    const long = await talk(watching);
    long.client.write('b\nlonger\n');
    await long.clock.settle();
    expect(seen).toEqual(['a', 'ConnectionClosedError', 'b', 'FrameTooLongError']);
    expect(long.owner.ends.length + broken.owner.ends.length).toBeGreaterThan(0);
  });
});

describe('write', () => {
  it('is resolved when there is room, and waits while there is none', async () => {
    const log: string[] = [];
    const { client, clock } = await talk(
      handler(async (connection) => {
        await firstValueFrom(connection);
        for (let i = 0; i < 5; i++) {
          await connection.write('x'.repeat(10));
          log.push(String(i));
          await Promise.resolve();
        }
      }),
      { window: 5, highWaterMark: 12 },
    );
    client.pause().write('go');
    await clock.settle();
    expect(log.length).toBeLessThan(5);
    client.resume();
    await clock.settle();
    expect(log).toEqual(['0', '1', '2', '3', '4']);
    expect(client.bytes.length).toBe(50);
  });

  it('is rejected with ConnectionClosedError when the connection is closed, and from then on', async () => {
    const errors: unknown[] = [];
    const { client, clock, connection } = await talk(
      handler(async (one) => {
        await firstValueFrom(one);
        try {
          for (;;) await one.write('x'.repeat(100));
        } catch (error) {
          errors.push(error);
        }
        await one.write('more').catch((error) => errors.push(error));
      }),
      { window: 5, highWaterMark: 12 },
    );
    client.pause().write('go');
    await clock.settle();
    expect(errors).toEqual([]);
    client.break();
    await clock.settle();
    await connection.write('later').catch((error) => errors.push(error));
    expect(errors.map((error) => error instanceof ConnectionClosedError && error.reason)).toEqual([
      'reset',
      'reset',
      'reset',
    ]);
  });

  it('is rejected when the connection is closed, even if a teardown of the reader throws, and no other caller receives that', async () => {
    const errors: unknown[] = [];
    const server = await TestServer.open(
      async (one) => {
        const crash = () => {
          throw new Error('in a teardown');
        };
        const requests = one.pipe(lines(), finalize(crash));
        requests.pipe(map((line) => line)).subscribe({ error: (error) => errors.push(error) });
        try {
          for (;;) await one.write('x'.repeat(100));
        } catch (error) {
          errors.push(error);
        }
      },
      { highWaterMark: 12 },
    );
    const client = server.network.connect({ window: 5 }).pause().write('go');
    await server.clock.settle();
    client.break();
    await server.clock.settle();
    expect(errors).toEqual([expect.any(ConnectionClosedError), expect.any(ConnectionClosedError)]);
    expect(server.log.closes).toEqual(['reset']);
    expect(server.log.of('failed')).toMatchObject([{ error: { message: expect.stringContaining('in a teardown') } }]);
  });

  it('is no unhandled rejection if it is not awaited', async () => {
    const { client, clock, connection } = await talk(handler(() => new Promise(() => undefined)));
    client.write('x').break();
    connection.abort();
    await clock.settle();
    void connection.write('not awaited');
    // An unhandled rejection fails the spec, in the setup of all specs.
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.reset).toBe(true);
  });

  it('yields to the event loop, even if its peer reads everything', async () => {
    let writes = 0;
    let stop = false;
    const { port, address } = await openConnections(async (connection) => {
      while (!stop) {
        await connection.write('x');
        writes++;
      }
      connection.end();
    });
    const client = dialTo(address.port as number);
    client.resume();
    await once(client, 'data');
    const before = writes;
    for (let iterations = 0; iterations < 20; iterations++) await new Promise((resolve) => setImmediate(resolve));
    expect(writes).toBeGreaterThan(before);
    stop = true;
    await once(client, 'end');
    client.end();
    port.close();
  });
});
