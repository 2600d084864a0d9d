import { setImmediate as turn } from 'node:timers/promises';
import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { concat, delay, map, mergeMap, NEVER, Observable, of, tap, throwError } from 'rxjs';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  type Connection,
  connect,
  exchange,
  type Handler,
  lines,
  type Reply,
  type ServeOptions,
  type ServerEvent,
  serve,
} from '../../lib/index.ts';
import { traceConnections, traceRequests } from '../../lib/opentelemetry/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { until } from '../support/contexts.ts';
import { TestServer } from '../support/testServer.ts';

const exporter = new InMemorySpanExporter();
let tracer: Tracer;

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  tracer = provider.getTracer('spec');
});
afterAll(() => context.disable());
beforeEach(() => exporter.reset());

const spans = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);
const active = () => trace.getActiveSpan()?.spanContext().spanId;

/** A server in memory, which ends with the test. */
async function start(handler: Handler, options: ServeOptions = {}): Promise<MemoryNetwork> {
  const network = new MemoryNetwork();
  const server = serve({ port: 0 }, handler, { transport: network.transport, ...options }).subscribe();
  onTestFinished(() => server.unsubscribe());
  await turn();
  return network;
}

describe('the span of a connection', () => {
  it('lasts from the accept to the close, and says where it came from and how it ended', async () => {
    const network = await start(
      traceConnections(
        (client) =>
          client.pipe(
            lines(),
            map((line) => `${line}\n`),
          ),
        {
          tracer,
          attributes: () => ({ tenant: 'blue' }),
        },
      ),
    );
    const client = network.connect();
    client.write('hello\n').end();
    await until(() => spans('connection').length === 1);
    const [span] = spans('connection');
    expect(span?.kind).toBe(SpanKind.SERVER);
    expect(span?.status.code).toBe(SpanStatusCode.UNSET);
    expect(span?.attributes).toMatchObject({
      'sluice.connection.id': 1,
      'network.transport': 'tcp',
      'network.type': 'ipv4',
      'network.peer.address': '127.0.0.1',
      'network.peer.port': expect.any(Number),
      'server.address': expect.any(String),
      'server.port': expect.any(Number),
      'sluice.connection.close_reason': 'ended',
      'sluice.connection.bytes_in': 6,
      'sluice.connection.bytes_out': 6,
      tenant: 'blue',
    });
    expect(span?.attributes).not.toHaveProperty('error.type');
    expect(span?.attributes).not.toHaveProperty('client.address');
  });

  it.each<[string, Handler, ServeOptions, string, Partial<Record<string, unknown>>, SpanStatusCode]>([
    [
      'a failed handler',
      () => throwError(() => new Error('on purpose')),
      {},
      '',
      { 'error.type': 'failed' },
      SpanStatusCode.ERROR,
    ],
    [
      'a connection that the server aborts',
      (client) => {
        client.abort();
        return NEVER;
      },
      {},
      '',
      { 'error.type': 'aborted' },
      SpanStatusCode.ERROR,
    ],
    [
      'a peer that misses a deadline',
      () => NEVER,
      { idle: 10 },
      '',
      { 'error.type': 'deadline' },
      SpanStatusCode.UNSET,
    ],
    [
      'a handler that completes',
      () => 'hello',
      {},
      '',
      { 'sluice.connection.close_reason': 'completed' },
      SpanStatusCode.UNSET,
    ],
  ])('of %s has its error.type and its status', async (_what, handler, options, _sent, attributes, code) => {
    const server = await TestServer.open(traceConnections(handler, { tracer }), options);
    const client = await server.connect();
    await server.clock.advance(20_000);
    client.end();
    await server.clock.advance(20_000);
    const [span] = spans('connection');
    expect([span?.attributes, span?.status.code]).toEqual([expect.objectContaining(attributes), code]);
    expect(span?.events.length).toBe(attributes['error.type'] === 'failed' ? 1 : 0);
  });

  it('is active in the callbacks of its handler, and is the parent of what is started there', async () => {
    const found: unknown[] = [];
    const handler: Handler = exchange(lines(), async () => {
      await turn();
      found.push(active());
      tracer.startSpan('query').end();
      return 'x';
    });
    const network = await start(traceConnections(handler, { tracer, name: 'echo' }));
    for (let left = 2; left > 0; left--) network.connect().write('a\n').end();
    await until(() => spans('echo').length === 2);
    const ids = spans('echo').map((span) => span.spanContext().spanId);
    expect(found.toSorted()).toEqual(ids.toSorted());
    expect(
      spans('query')
        .map(({ parentSpanContext }) => parentSpanContext?.spanId)
        .toSorted(),
    ).toEqual(ids.toSorted());
  });

  it('names the client behind a proxy, and the proxy as the peer of the network', async () => {
    const network = await start(
      traceConnections(() => 'hello', { tracer }),
      {
        proxy: { trusted: ['127.0.0.1'] },
      },
    );
    network.connect().write('PROXY TCP4 192.0.2.1 192.0.2.2 1234 7000\r\n');
    await until(() => spans('connection').length === 1);
    expect(spans('connection')[0]?.attributes).toMatchObject({
      'client.address': '192.0.2.1',
      'client.port': 1234,
      'network.peer.address': '127.0.0.1',
    });
  });
});

describe('the span of a request', () => {
  const failure = new Error('on purpose');
  const cases: [string, (request: string) => Reply, string][] = [
    ['a string', (request) => request, 'ended'],
    ['nothing', () => undefined, 'ended'],
    ['a promise', (request) => turn(request), 'ended'],
    ['an Observable', (request) => of(request).pipe(delay(1)), 'ended'],
    [
      'a generator',
      function* (request) {
        yield request;
        yield request;
      },
      'ended',
    ],
    [
      'an async generator',
      async function* (request) {
        await turn();
        yield request;
      },
      'ended',
    ],
    ['an array', (request) => [request, request], 'ended'],
    [
      'a function that throws',
      () => {
        throw failure;
      },
      'failed',
    ],
    [
      'a promise that is rejected',
      async () => {
        await turn();
        throw failure;
      },
      'failed',
    ],
    [
      'an Observable that fails',
      () =>
        concat(
          of('x'),
          throwError(() => failure),
        ),
      'failed',
    ],
    [
      'a generator that throws',
      function* () {
        yield 'x';
        throw failure;
      },
      'failed',
    ],
    [
      'an async generator that throws',
      async function* () {
        yield 'x';
        throw failure;
      },
      'failed',
    ],
    ['an Observable that is unsubscribed', () => NEVER, 'cancelled'],
    [
      'a generator that is left',
      function* () {
        for (;;) yield 'x'.repeat(1000);
      },
      'cancelled',
    ],
    [
      'an async generator that is left',
      async function* () {
        for (;;) {
          await turn();
          yield 'x'.repeat(1000);
        }
      },
      'cancelled',
    ],
  ];

  it.each(cases)('of %s ends once, with what has become of it', async (_what, project, outcome) => {
    const traced = traceRequests(project, {
      tracer,
      name: (request) => `get ${request}`,
      attributes: () => ({ size: 1 }),
    });
    const network = await start(exchange(lines(), traced, { onError: () => 'sorry' }));
    const client = network.connect({ window: 10_000 }).pause();
    client.write('tea\n');
    if (outcome === 'cancelled') {
      await turn();
      await turn();
      client.break();
    }
    await until(() => spans('get tea').length > 0);
    client.end();
    await turn();
    const all = spans('get tea');
    expect(all.length).toBe(1);
    const [span] = all;
    expect(span?.attributes).toMatchObject({ size: 1, 'sluice.connection.id': 1 });
    expect(span?.attributes['sluice.request.cancelled']).toBe(outcome === 'cancelled' ? true : undefined);
    expect(span?.attributes['error.type']).toBe(outcome === 'failed' ? 'Error' : undefined);
    expect(span?.status).toEqual(
      outcome === 'failed' ? { code: SpanStatusCode.ERROR, message: 'on purpose' } : { code: SpanStatusCode.UNSET },
    );
    expect(span?.events.map(({ name }) => name)).toEqual(outcome === 'failed' ? ['exception'] : []);
  });

  it('ends an Observable with its reply: what is behind it is unsubscribed', async () => {
    let teardowns = 0;
    const endless = () =>
      new Observable<string>((to) => {
        const timer = setInterval(() => to.next('x'), 1);
        return () => {
          clearInterval(timer);
          teardowns++;
        };
      });
    const network = await start(exchange(lines(), traceRequests(endless, { tracer })));
    const client = network.connect();
    client.write('a\n');
    await until(() => client.text.length > 0);
    client.break();
    await until(() => teardowns === 1);
    await until(() => spans('request').length === 1);
  });

  it('ends an Observable that emits without end within the call, when it is unsubscribed', async () => {
    let emitted = 0;
    const endless = () =>
      new Observable<string>((to) => {
        while (!to.closed) {
          emitted++;
          to.next('x'.repeat(1000));
        }
      });
    const options = { maxOutbound: 10_000, highWaterMark: 1000 };
    const network = await start(exchange(lines(), traceRequests(endless, { tracer })), options);
    network.connect({ window: 1 }).pause().write('a\n');
    await until(() => spans('request').length === 1);
    expect(emitted).toBeLessThan(100);
  });

  it('of an async generator that never goes on ends at the deadline', async () => {
    const server = await TestServer.open(
      exchange(
        lines(),
        traceRequests(() => new Observable((to) => to.add(() => {})), { tracer, name: 'observable' }),
      ),
      { reply: 50 },
    );
    const client = await server.connect();
    client.write('a\n');
    await server.clock.settle();
    await server.clock.advance(100);
    expect(spans('observable').length).toBe(1);
    const network = await start(
      exchange(
        lines(),
        traceRequests(
          async function* () {
            await new Promise(() => {});
          },
          { tracer },
        ),
        { timeout: 20 },
      ),
    );
    network.connect().write('a\n');
    await until(() => spans('request').length === 1);
    expect(spans('request')[0]?.attributes['sluice.request.cancelled']).toBe(true);
  });

  const indescribable = [
    ['without a prototype', Object.create(null)],
    [
      'whose getters throw',
      Object.defineProperties(new Error(), {
        name: {
          get(): never {
            throw new Error('on purpose');
          },
        },
        message: {
          get(): never {
            throw new Error('on purpose');
          },
        },
      }),
    ],
    ['that is undefined', undefined],
  ] as const;
  it.each(
    indescribable.flatMap(([what, error]) => [
      [
        `${what}, thrown`,
        error,
        (): never => {
          throw error;
        },
      ] as const,
      [
        `${what}, of a promise`,
        error,
        async (): Promise<never> => {
          throw error;
        },
      ] as const,
      [`${what}, of an Observable`, error, () => throwError(() => error)] as const,
      [
        `${what}, of a generator`,
        error,
        function* (): Iterable<string> {
          yield 'x';
          throw error;
        },
      ] as const,
    ]),
  )('ends with an error %s, and onError receives that', async (_what, error, project) => {
    const received: unknown[] = [];
    const onError = (one: unknown) => {
      received.push(one);
      return 'sorry';
    };
    const network = await start(exchange(lines(), traceRequests(project as () => Reply, { tracer }), { onError }));
    const client = network.connect();
    client.write('a\n');
    await until(() => client.text.endsWith('sorry'));
    expect(received[0]).toBe(error);
    expect(spans('request').map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR]);
  });

  it.each([
    ['null', null],
    ['a number', 1],
    ['an array of 16 bits', new Uint16Array(2)],
    ['an object', {}],
  ])('ends with an error for %s, which is no reply, as without tracing', async (_what, value) => {
    const errors: unknown[] = [];
    for (const project of [() => value, traceRequests(() => value as never, { tracer })]) {
      const onError = (error: unknown) => {
        errors.push(error);
        return 'sorry';
      };
      const network = await start(exchange(lines(), project as never, { onError }));
      const client = network.connect();
      client.write('a\n');
      await until(() => client.text === 'sorry');
    }
    expect(errors[1]).toEqual(errors[0]);
    expect(spans('request').map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR]);
  });

  it.each<[string, (found: () => void) => (request: string) => Reply]>([
    [
      'a function',
      (found) => () => {
        found();
        return 'x';
      },
    ],
    [
      'an async function',
      (found) => async () => {
        await turn();
        found();
        return 'x';
      },
    ],
    [
      'an Observable',
      (found) => () =>
        of(1).pipe(
          delay(1),
          map(() => {
            found();
            return 'x';
          }),
        ),
    ],
    [
      'a generator',
      (found) =>
        function* () {
          yield 'x';
          found();
          yield 'y';
        },
    ],
    [
      'an async generator',
      (found) =>
        async function* () {
          await turn();
          yield 'x';
          await turn();
          found();
        },
    ],
  ])('is active in %s, is linked to that of the connection, and begins a trace', async (_what, make) => {
    const found: unknown[] = [];
    const traced = traceRequests(
      make(() => found.push(active())),
      { tracer },
    );
    const network = await start(traceConnections(exchange(lines(), traced, { concurrency: 4 }), { tracer }));
    const client = network.connect();
    client.write('a\nb\n').end();
    await until(() => spans('connection').length === 1);
    const requests = spans('request');
    const [own] = spans('connection');
    expect(found.toSorted()).toEqual(requests.map((span) => span.spanContext().spanId).toSorted());
    for (const { links, parentSpanContext } of requests) {
      expect(parentSpanContext).toBeUndefined();
      expect(links.map((link) => link.context.spanId)).toEqual([own?.spanContext().spanId]);
    }
    expect(new Set([...requests, own].map((span) => span?.spanContext().traceId)).size).toBe(3);
  });

  it('is part of the trace of the client, with its baggage, if the protocol carries that', async () => {
    const remote = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 };
    const baggage = propagation.createBaggage({ tenant: { value: 'blue' } });
    const found: unknown[] = [];
    const traced = traceRequests(
      async () => {
        await turn();
        found.push(propagation.getActiveBaggage()?.getEntry('tenant')?.value);
        return 'x';
      },
      { tracer, parent: () => propagation.setBaggage(trace.setSpanContext(ROOT_CONTEXT, remote), baggage) },
    );
    const network = await start(exchange(lines(), traced));
    network.connect().write('a\n');
    await until(() => spans('request').length === 1);
    const [span] = spans('request');
    expect([span?.spanContext().traceId, span?.parentSpanContext?.spanId]).toEqual([remote.traceId, remote.spanId]);
    expect(found).toEqual(['blue']);
  });

  it('is the parent of what a connection of connect does', async () => {
    const backend = await listening((client) =>
      client.pipe(
        lines(),
        map((line) => `${line}\n`),
      ),
    );
    const ask = (line: string) =>
      connect({ port: backend, host: '127.0.0.1' }).pipe(
        mergeMap((other) => {
          void other.write(`${line}\n`).then(() => other.halfClose());
          return other.pipe(
            lines(),
            tap(() => tracer.startSpan('reply').end()),
          ) as Observable<string>;
        }),
      );
    const front = await listening(exchange(lines(), traceRequests(ask, { tracer })));
    const client = connect({ port: front, host: '127.0.0.1' }).subscribe((one: Connection) => {
      one.subscribe({ error: () => {} });
      void one.write('a\n');
    });
    onTestFinished(() => client.unsubscribe());
    await until(() => spans('request').length === 1);
    expect(spans('reply')[0]?.parentSpanContext?.spanId).toBe(spans('request')[0]?.spanContext().spanId);
  });
});

/** A server on a real port. */
async function listening(handler: Handler): Promise<number> {
  const events: ServerEvent[] = [];
  const server = serve({ port: 0, host: '127.0.0.1' }, handler).subscribe((event) => events.push(event));
  onTestFinished(() => server.unsubscribe());
  await until(() => events.length > 0);
  return events[0]?.type === 'listening' ? (events[0].address.port ?? 0) : 0;
}

describe('without an SDK', () => {
  it('serves as before', async () => {
    const network = await start(
      traceConnections(
        exchange(
          lines(),
          traceRequests((line: string) => `${line}\n`),
        ),
      ),
    );
    const client = network.connect();
    client.write('hello\n');
    await until(() => client.text === 'hello\n');
  });
});

it('rejects what cannot be traced', () => {
  expect(() => traceConnections(1 as never)).toThrow('Cannot trace connections: the handler must be a function, not 1');
  expect(() => traceConnections(() => 'x', { tracer: 1 as never })).toThrow('tracer must be a Tracer, not 1');
  expect(() => traceRequests(1 as never)).toThrow('Cannot trace requests: project must be a function, not 1');
  expect(() => traceRequests(() => 'x', { name: 1 as never })).toThrow('name must be a string or a function, not 1');
  expect(() => traceRequests(() => 'x', { names: 'x' } as never)).toThrow('names');
});
