import { connect, createServer, Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Handle, HandleOwner, Handles, Written } from '../../lib/transport/handle.ts';
import type * as NodeInternals from '../../lib/transport/nodeInternals.ts';
import { withFreshModules } from '../support/freshModules.ts';
import { open } from '../support/sockets.ts';

afterEach(() => void vi.restoreAllMocks());

/** What is learnt of this Node. It is learnt once by each instance of the module, therefore this is a new one. */
async function learnt(): Promise<Handles | undefined> {
  return withFreshModules(async () => {
    const fresh: typeof NodeInternals = await import('../../lib/transport/nodeInternals.ts');
    return fresh.handles();
  });
}

/** A handle that records its calls, and returns a given answer. */
class FakeHandle {
  readonly calls: unknown[][] = [];
  answer: unknown = 0;
  readonly fd = 7;
  readonly bytesRead = 0;
  readonly bytesWritten = 0;
  readonly writeQueueSize: unknown = 0;
  writeUtf8String(...call: unknown[]): unknown {
    this.calls.push(call);
    return this.answer;
  }
  writeBuffer(...call: unknown[]): unknown {
    return this.writeUtf8String(...call);
  }
  writev(...call: unknown[]): unknown {
    return this.writeUtf8String(...call);
  }
  useUserBuffer(): void {}
  readStart(): number {
    return 0;
  }
  readStop(): number {
    return 0;
  }
  shutdown(...call: unknown[]): unknown {
    return this.writeUtf8String(...call);
  }
  close(): void {}
}

class Request {
  id = -1;
  oncomplete?: (status: number) => void;
  writeStatus: number | null = null;
  getAsyncId(): number {
    return this.id;
  }
}

const owner = (statuses: number[] = []): HandleOwner => ({
  bytesRead: 0,
  bytesReceived: () => expect.unreachable(),
  readEnded: () => expect.unreachable(),
  readFailed: () => expect.unreachable(),
  writeCompleted: (status) => statuses.push(status),
  shutDown: () => statuses.push(Number.NaN),
  closed: () => expect.unreachable(),
});

/** What is learnt of a Node that writes with this request, and a handle of it. */
async function writingWith(request: unknown) {
  vi.spyOn(Socket.prototype, '_write').mockImplementation(function (this: Socket) {
    (this as unknown as { _handle: FakeHandle })._handle.writeUtf8String(request, 'x');
  });
  const handles = await learnt();
  vi.restoreAllMocks();
  const fake = new FakeHandle();
  const handle = fake as unknown as Handle;
  return { handles, fake, write: (data: Written, to = owner()) => handles?.write(handle, data, to) };
}

describe('handles', () => {
  it('are known of this release of Node, and used by nodeTransport', async () => {
    expect(await learnt()).toBeDefined();
    const handler = { accepted() {}, error() {} };
    const { nodeTransport, netTransport } = await import('../../lib/transport/node.ts');
    const options = { backlog: 1, noDelay: true, keepAlive: false as const };
    const used = (transport: typeof nodeTransport) =>
      new Promise((resolve) => {
        const listening = (_address: object, name?: string) => {
          port.close();
          resolve(name);
        };
        const port = transport.listen({ port: 0, host: '127.0.0.1' }, options, { ...handler, listening });
      });
    expect(await used(netTransport)).toBe('net');
    expect(await used(nodeTransport)).toBe(process.env.SLUICE_TRANSPORT === 'net' ? 'net' : 'handle');
    vi.stubEnv('SLUICE_TRANSPORT', 'net');
    expect(await used(nodeTransport)).toBe('net');
    vi.unstubAllEnvs();
  });

  it.each([
    ['another release', { node: '25.1.0' }],
    ['a later release', { node: '28.0.0' }],
    ['Bun', { node: '24.3.0', bun: '1.2.0' }],
    ['Deno', { node: '24.3.0', deno: '2.5.0' }],
    ['an unknown runtime', {}],
  ])('are unknown in %s', async (_what, versions) => {
    vi.spyOn(process, 'versions', 'get').mockReturnValue(versions as NodeJS.ProcessVersions);
    expect(await learnt()).toBeUndefined();
  });

  it.each([undefined, 7, {}, { getAsyncId: 1 }])('are unknown if Node writes with %j', async (request) => {
    expect((await writingWith(request)).handles).toBeUndefined();
  });

  it('are unknown if Node cannot make a socket of the stand-in', async () => {
    vi.spyOn(Socket.prototype, '_final').mockImplementation(() => {
      throw new TypeError('this._handle.flush is not a function');
    });
    expect(await learnt()).toBeUndefined();
  });

  it('fit if they have all methods and figures', async () => {
    const handles = await learnt();
    for (const one of [null, undefined, {}, { ...new FakeHandle() }]) expect(handles?.fits(one)).toBe(false);
    const lacking = (changes: object) => Object.create(Object.assign(new FakeHandle(), changes));
    expect(handles?.fits(lacking({ writev: 1 }))).toBe(false);
    expect(handles?.fits(lacking({ writeQueueSize: undefined }))).toBe(false);
    expect(handles?.fits(new FakeHandle())).toBe(true);
  });

  it('leave an accepted connection to Node if its handle does not fit', async () => {
    const { handles } = await import('../../lib/transport/nodeInternals.ts');
    const known = handles();
    if (known === undefined) return expect.unreachable();
    vi.spyOn(known, 'fits').mockReturnValue(false as never);
    const { nodeTransport } = await import('../../lib/transport/node.ts');
    const kinds = new Set<string>();
    const { port, connect: dial } = await open(
      (socket) => {
        kinds.add(socket.constructor.name);
        socket.handler = { ...socket.handler, received: (bytes) => socket.write(Buffer.from(bytes)) };
        socket.resume();
      },
      undefined,
      nodeTransport,
    );
    const client = dial();
    client.write('hello');
    expect(String(await new Promise((resolve) => client.once('data', resolve)))).toBe('hello');
    expect([...kinds]).toEqual(['NetSocket']);
    client.destroy();
    port.close();
  });
});

describe('a write', () => {
  it('passes a request to a Node that expects one, and reuses a request that was not needed', async () => {
    const { write, fake } = await writingWith(new Request());
    expect(write('a')).toBe('now');
    expect(write(Buffer.from('b'))).toBe('now');
    const [a, b] = fake.calls;
    expect(a?.[0]).toBeInstanceOf(Request);
    expect(b?.[0]).toBe(a?.[0]);
    fake.answer = -32;
    expect(write('c')).toBe(-32);
  });

  it('notifies the owner when it is complete, on a Node that expects a request', async () => {
    const { write, fake } = await writingWith(new Request());
    vi.spyOn(Request.prototype, 'getAsyncId').mockReturnValue(7);
    const statuses: number[] = [];
    expect(write('a', owner(statuses))).toBe('later');
    const [used] = fake.calls.at(-1) as [Request];
    used.oncomplete?.(-104);
    expect(statuses).toEqual([-104]);
    vi.restoreAllMocks();
    expect(write('b')).toBe('now');
    expect(fake.calls.at(-1)?.[0]).not.toBe(used);
  });

  it('keeps its bytes while it is in flight, but not a string, because Node has copied it', async () => {
    const { write, fake } = await writingWith(new Request());
    vi.spyOn(Request.prototype, 'getAsyncId').mockReturnValue(7);
    const bytes = Buffer.alloc(100_000);
    for (const data of [bytes, 'x'.repeat(100_000)]) {
      expect(write(data)).toBe('later');
      expect(fake.calls.at(-1)?.[0]).toHaveProperty('data', data === bytes ? bytes : undefined);
    }
  });

  it('uses the request that a Node returns which expects none', async () => {
    const { write, fake } = await writingWith(null);
    expect(write('a')).toBe('now');
    expect(fake.calls.at(-1)).toEqual([null, 'a']);
    fake.answer = -32;
    expect(write('b')).toBe(-32);
    const request = new Request();
    fake.answer = request;
    const statuses: number[] = [];
    expect(write('c', owner(statuses))).toBe('later');
    request.oncomplete?.(0);
    expect(statuses).toEqual([0]);
  });

  it.each([
    [0, 'now'],
    [-104, -104],
  ])('returns its status if it completed before an owner was set: %s', async (writeStatus, outcome) => {
    const { write, fake } = await writingWith(null);
    fake.answer = Object.assign(new Request(), { writeStatus });
    expect(write('a')).toBe(outcome);
  });

  it('passes several pieces together', async () => {
    const { write, fake } = await writingWith(null);
    const bytes = Buffer.alloc(20_000);
    write([bytes, bytes]);
    expect(fake.calls.at(-1)).toEqual([null, [bytes, bytes], true]);
    write(['a', bytes]);
    expect(fake.calls.at(-1)).toEqual([null, ['a', 'utf8', bytes, 'buffer'], false]);
  });
});

describe('the handle of a real connection', () => {
  it('reports bytes, nothing, and the end, each as it is', async () => {
    const server = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { handles, takeConnected } = await import('../../lib/transport/nodeInternals.ts');
    const known = handles() as Handles;
    const socket = connect({ port, host: '127.0.0.1' }).pause();
    await new Promise((resolve) => socket.once('connect', resolve));
    const handle = takeConnected(known, socket) as Handle;
    const notified: unknown[] = [];
    await new Promise<void>((resolve) => {
      known.own(handle, {
        ...owner(),
        bytesReceived: (length) => notified.push(length),
        readEnded: () => resolve(void notified.push('end')),
      });
      handle.readStart();
    });
    expect(notified).toEqual([5, 'end']);
    await new Promise<void>((resolve) => {
      known.own(handle, { ...owner(), closed: resolve });
      known.close(handle);
    });
    server.close();
  });
});
