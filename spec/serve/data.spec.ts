import { runInNewContext } from 'node:vm';
import { concatMap, from, ignoreElements, map, merge, NEVER, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import type { Data } from '../../lib/connection/writeQueue.ts';
import { broadcast, encodeDelimited, encodeLengthPrefixed, exchange, lines } from '../../lib/index.ts';
import type { Handler, ServeOptions } from '../../lib/serve.ts';
import { TestServer } from '../support/testServer.ts';

/** What a client receives that sends `go`, and the errors of the server's `failed` events. */
async function talk(handler: Handler, options: ServeOptions = {}) {
  const server = await TestServer.open(handler, options);
  const client = server.network.connect();
  client.write('go\n');
  await server.clock.settle();
  client.end();
  await server.clock.settle();
  return { text: client.text, failed: server.log.of('failed').map(({ error }) => String(error)), server };
}

/** Each way in which a handler can send one value. */
const ways: Record<string, (value: Data) => Handler> = {
  'returned by a handler': (value) => () => value,
  'promised by a handler': (value) => async () => value,
  'emitted by a handler': (value) => (one) =>
    one.pipe(
      lines(),
      map(() => value),
    ),
  'yielded by a handler': (value) =>
    async function* () {
      yield value;
    },
  'in an array of a handler': (value) => () => [value],
  'returned in an exchange': (value) => exchange(lines(), () => value),
  'promised in an exchange': (value) => exchange(lines(), async () => value),
  'emitted in an exchange': (value) => exchange(lines(), () => of(value)),
  'yielded in an exchange': (value) =>
    exchange(lines(), function* () {
      yield value;
    }),
  'returned by onError': (value) =>
    exchange(
      lines(),
      () => {
        throw new Error('no');
      },
      { onError: () => value },
    ),
  'sent in a pipe': (value) => (one) => one.pipe(concatMap(() => from(Promise.resolve(value)))),
};

const wide = `x${'😀'.repeat(50_000)}`;

describe('a reply that is one value is sent whole,', () => {
  it.each(Object.entries(ways))('%s', async (_name, way) => {
    expect((await talk(way(wide))).text).toBe(wide);
    expect((await talk(way(Buffer.from(wide)))).text).toBe(wide);
    expect((await talk(way(new TextEncoder().encode(wide)))).text).toBe(wide);
  });
});

/** Bytes of another realm: in a context of its own, `Uint8Array` is another class. */
const foreign = (text: string): Uint8Array =>
  runInNewContext(`Uint8Array.from(${JSON.stringify([...Buffer.from(text)])})`);

const wrong: Record<string, unknown> = {
  'another typed array': new Uint16Array([1, 2]),
  'a DataView': new DataView(new ArrayBuffer(2)),
  'an ArrayBuffer': new ArrayBuffer(2),
  'an ArrayBuffer of another realm': runInNewContext('new ArrayBuffer(2)'),
  'another typed array of another realm': runInNewContext('new Float64Array(2)'),
};

describe('bytes of another realm', () => {
  it('are no instance of the Uint8Array of this realm', () => {
    expect(foreign('x')).not.toBeInstanceOf(Uint8Array);
  });

  it.each(Object.entries(ways))('are sent when they are %s', async (_name, way) => {
    expect((await talk(way(foreign('hello')))).text).toBe('hello');
  });

  it('are sent by write(), by a broadcast and as a farewell', async () => {
    const writes: Handler = async (one) => {
      await one.write(foreign('hello'));
    };
    expect((await talk(writes)).text).toBe('hello');
    const room = broadcast();
    const joins: Handler = (one) =>
      merge(
        room.to(one),
        one.pipe(
          lines(),
          map(() => room.next(foreign('hello'))),
          ignoreElements(),
        ),
      );
    expect((await talk(joins)).text).toBe('hello');
    const server = await TestServer.open(() => NEVER, {
      concurrency: 1,
      waiting: { max: 0 },
      farewell: foreign('full'),
    });
    await server.connect();
    expect((await server.connect()).text).toBe('full');
  });

  it('are framed and encoded', async () => {
    const framed: unknown[] = [];
    of(foreign('ab\nc'), foreign('d\n'))
      .pipe(lines())
      .subscribe((line) => framed.push(line));
    expect(framed).toEqual(['ab', 'cd']);
    expect(encodeDelimited(foreign('--'))(foreign('x')).toString()).toBe('x--');
    expect(encodeLengthPrefixed({ size: 1 })(foreign('x')).toString()).toBe('\x01x');
  });
});

describe.each(Object.entries(wrong))('%s', (_name, value) => {
  it.each(Object.entries(ways))('fails its connection with an error that names the value, %s', async (_way, way) => {
    const { failed, server } = await talk(way(value as Data));
    expect(failed).toEqual([
      expect.stringMatching(/^TypeError: Cannot send .*: it is neither a string nor a Uint8Array$/s),
    ]);
    expect(server.log.closes).toEqual(['failed']);
  });

  it('throws on call in broadcast().next() and in the encoders', () => {
    const message = /Cannot .* must be a string or a Uint8Array, not /s;
    expect(() => broadcast().next(value as never)).toThrow(message);
    expect(() => encodeDelimited('\n')(value as never)).toThrow(message);
    expect(() => encodeLengthPrefixed()(value as never)).toThrow(message);
    expect(() => encodeDelimited(value as never)).toThrow(message);
  });

  it('is an error in front of a framing operator', () => {
    let thrown: unknown;
    of(value as Buffer)
      .pipe(lines())
      .subscribe({ error: (error) => (thrown = error) });
    expect(String(thrown)).toMatch(/^TypeError: Cannot frame .*: it is not a Uint8Array$/s);
  });
});

describe.each<[string, unknown]>([
  ['only looks like bytes', Object.create(Uint8Array.prototype)],
  ['is a proxy of bytes', new Proxy(Buffer.from('x'), {})],
  ['is a proxy that is revoked', revoked()],
])('a value that %s', (_name, value) => {
  it.each(Object.entries(ways))('fails its connection, and nothing is sent, %s', async (_way, way) => {
    const { text, server } = await talk(way(value as Data));
    expect(text).toBe('');
    expect(server.log.closes).toEqual(['failed']);
  });
});

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable(new Uint8Array(1), {});
  revoke();
  return proxy;
}

it('a string in front of a framing operator is an error, and not taken as a list of characters', () => {
  let thrown: unknown;
  of('ab\n' as never as Buffer)
    .pipe(lines())
    .subscribe({ error: (error) => (thrown = error) });
  expect(String(thrown)).toBe("TypeError: Cannot frame 'ab\\n': it is not a Uint8Array");
});
