import { map } from 'rxjs';
import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  broadcast,
  type Connection,
  type ConnectOptions,
  connect,
  type DelimitedOptions,
  delimited,
  type ExchangeOptions,
  encodeLengthPrefixed,
  exchange,
  type FrameTimeOptions,
  frames,
  type JsonOptions,
  json,
  type LengthPrefixedOptions,
  type LinesOptions,
  type ListenOptions,
  lengthPrefixed,
  lines,
  listen,
  type MemberOptions,
  type RelayOptions,
  relay,
  type ServeOptions,
  serve,
} from '../../lib/index.ts';
import { type MemoryClientOptions, MemoryNetwork } from '../../lib/testing/index.ts';
import { Clock } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { TestServer } from '../support/testServer.ts';

/** The same options, each of them `undefined`. */
type Undefined<T> = { readonly [K in keyof T]-?: undefined };

/** The options of every function that takes options, by the name of the function. */
interface All {
  serve: ServeOptions;
  listen: ListenOptions;
  connect: ConnectOptions;
  lines: LinesOptions;
  delimited: DelimitedOptions;
  json: JsonOptions;
  lengthPrefixed: LengthPrefixedOptions;
  encodeLengthPrefixed: NonNullable<Parameters<typeof encodeLengthPrefixed>[0]>;
  frames: FrameTimeOptions;
  exchange: ExchangeOptions<string>;
  relay: RelayOptions;
  member: MemberOptions;
  client: MemoryClientOptions;
}

describe('every option', () => {
  it('may be undefined, by its type', () => {
    expectTypeOf<{ [K in keyof All]: Undefined<All[K]> }>().toExtend<All>();
    expectTypeOf<{ waiting: { max: undefined; timeout: undefined } }>().toExtend<ServeOptions>();
    expectTypeOf<{ port: number; host: undefined; ipv6Only: undefined }>().toExtend<Parameters<typeof serve>[0]>();
    expectTypeOf<{ port: number; host: undefined }>().toExtend<Parameters<typeof connect>[0]>();
  });

  it('that is undefined has its default, as `greeting` and `idle` have', async () => {
    const options = { idle: undefined, greeting: undefined, waiting: { max: undefined }, farewell: undefined };
    const server = await TestServer.open((connection) => connection.pipe(lines()), options);
    await server.connect();
    const greeted = await server.connect();
    greeted.write('hello\n');
    await server.clock.advance(29_999);
    expect(server.log.of('closed')).toMatchObject([{ id: 1, deadline: 'greeting', error: { after: 10_000 } }]);
    await server.clock.advance(1);
    greeted.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual(['greeting', 'idle']);
  });
});

describe('options that are inherited, or getters of a class', () => {
  class Waiting {
    get max() {
      return 1;
    }
  }
  class Limits {
    get concurrency() {
      return 1;
    }
    get farewell() {
      return 'full';
    }
    get waiting() {
      return new Waiting();
    }
    describe() {}
  }

  /** A server in memory whose options are inherited, except for the transport and the scheduler. */
  const open = async (options: object) => {
    const clock = new Clock();
    const network = new MemoryNetwork(clock);
    const inMemory = Object.assign(Object.create(options), { transport: network.transport, scheduler: clock });
    const log = Log.follow(serve({ port: 0 }, (connection) => connection.pipe(lines()), inMemory));
    await clock.settle();
    const connect = async () => {
      const client = network.connect();
      await clock.settle();
      return client;
    };
    return { clock, log, connect };
  };

  it.each<[string, object]>([
    ['a class', new Limits()],
    ['an object', { concurrency: 1, farewell: 'full', waiting: { max: 1 } }],
    [
      'an object with a prototype of its own',
      Object.create({ concurrency: 1, farewell: 'full', waiting: new Waiting() }),
    ],
  ])('are all applied: those of %s', async (_, options) => {
    const { log, connect } = await open(options);
    await connect();
    await connect();
    const third = await connect();
    expect(log.of('opened')).toHaveLength(1);
    expect(log.of('refused')).toMatchObject([{ reason: 'full' }]);
    expect(third.text).toBe('full');
  });

  it('are validated on call', () => {
    const handler = (connection: Connection) => connection;
    expect(() => serve({ port: 0 }, handler, Object.create({ idle: -1 }))).toThrow('idle must be more than 0');
    expect(() => serve({ port: 0 }, handler, Object.create({ idel: 1 }))).toThrow("there is no option 'idel'");
    expect(() => serve(Object.create({ port: 70_000 }), handler)).toThrow(
      'port must be a whole number from 0 to 65535',
    );
    expect(() => listen({ port: 0 }, Object.create({ linger: -1 }))).toThrow('linger must be');
    expect(() => connect(Object.create({ port: 70_000 }))).toThrow('port must be');
    expect(() => connect({ port: 1 }, Object.create({ timeout: 0 }))).toThrow('timeout must be');
    expect(() => lines(Object.create({ maxLength: 0 }))).toThrow('maxLength must be');
    expect(() => json(Object.create({ maxLength: 0 }))).toThrow('maxLength must be');
    expect(() => delimited('.', Object.create({ maxLength: 0 }))).toThrow('maxLength must be');
    expect(() => lengthPrefixed(Object.create({ size: 3 }))).toThrow('size must be');
    expect(() => encodeLengthPrefixed(Object.create({ size: 3 }))).toThrow('size must be');
    expect(() => frames(fail, Object.create({ timeout: 0 }))).toThrow('timeout must be');
    expect(() => exchange(lines(), String, Object.create({ concurrency: 0 }))).toThrow('concurrency must be');
    expect(() => relay(null as never, null as never, Object.create({ pause: -1 }))).toThrow('pause must be');
    expect(() => broadcast().to(null as never, Object.create({ maxOutbound: 0 }))).toThrow('maxOutbound must be');
    expect(() => new MemoryNetwork().connect(Object.create({ window: -1 }))).toThrow('window must be');
  });

  it('are read once: a later change of the object has no effect', async () => {
    const options = { frame: 500 };
    const { clock, log, connect } = await open(options);
    options.frame = 1;
    const client = await connect();
    client.write('half');
    await clock.advance(499);
    expect(client.ended).toBe(false);
    await clock.advance(1);
    client.end();
    await clock.settle();
    expect(log.of('closed')).toMatchObject([{ deadline: 'frame' }]);
  });
});

describe('a highWaterMark above maxOutbound', () => {
  it('counts as maxOutbound: the input pauses there', async () => {
    const unsent: (() => number)[] = [];
    const handler = (connection: Connection) => {
      unsent.push(() => connection.unsent);
      return connection.pipe(
        lines(),
        map((line) => line.repeat(600)),
      );
    };
    const server = await TestServer.open(handler, { highWaterMark: 1_000_000, maxOutbound: 1000 });
    const client = await server.connect({ window: 1 });
    client.pause();
    for (let i = 0; i < 100; i++) {
      client.write('a\n');
      await server.clock.settle();
    }
    expect(unsent[0]?.()).toBeLessThan(2000);
    client.resume().end();
    await server.clock.settle();
    expect(client.text).toBe('a'.repeat(60_000));
    expect(server.log.closes).toEqual(['ended']);
  });
});

function fail(): never {
  throw new Error('not to be called');
}
