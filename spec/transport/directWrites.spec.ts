import type { Socket } from 'node:net';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type * as DirectWrites from '../../lib/transport/directWrites.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import { open, readAll } from '../support/sockets.ts';

// The module observes the first write of a process only, so each spec has a new instance of it.
let fresh: typeof DirectWrites;
beforeEach(async () => {
  vi.resetModules();
  fresh = await import('../../lib/transport/directWrites.ts');
});

/** A handle that records its calls, and returns a given answer. */
class Handle {
  readonly calls: unknown[][] = [];
  answer: unknown = 0;
  writeQueueSize: unknown = 0;
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
}

class Request {
  id = -1;
  oncomplete?: (status: number) => void;
  writeStatus: number | null = null;
  getAsyncId(): number {
    return this.id;
  }
}

const socketOf = (handle: unknown) => ({ _handle: handle }) as unknown as Socket;
const unexpected = { completed: () => expect.unreachable() };

/** The module after it has observed a write of Node's with this request. */
function afterFirstWrite(request: unknown) {
  const handle = new Handle();
  const socket = socketOf(handle);
  expect(fresh.writerOf(socket)).toBeUndefined();
  handle.writeUtf8String(request, 'first');
  expect(handle.calls).toEqual([[request, 'first']]);
  return { write: fresh.writerOf(socket), handle: fresh.handleOf(socket) as DirectWrites.WritingHandle, fake: handle };
}

describe('writerOf', () => {
  it('passes a request to a Node that expects one, and reuses a request that was not needed', () => {
    const { write, handle, fake } = afterFirstWrite(new Request());
    expect(write?.(handle, 'a', unexpected)).toBe('now');
    expect(write?.(handle, Buffer.from('b'), unexpected)).toBe('now');
    const [, a, b] = fake.calls;
    expect(a?.[0]).toBeInstanceOf(Request);
    expect(b?.[0]).toBe(a?.[0]);
    fake.answer = -32;
    expect(write?.(handle, 'c', unexpected)).toBe(-32);
  });

  it('notifies the listener when a write is complete, on a Node that expects a request', () => {
    const { write, handle, fake } = afterFirstWrite(new Request());
    vi.spyOn(Request.prototype, 'getAsyncId').mockReturnValue(7);
    const statuses: number[] = [];
    expect(write?.(handle, 'a', { completed: (status) => statuses.push(status) })).toBe('later');
    const [used] = fake.calls.at(-1) as [Request];
    used.oncomplete?.(-104);
    expect(statuses).toEqual([-104]);
    vi.restoreAllMocks();
    expect(write?.(handle, 'b', unexpected)).toBe('now');
    expect(fake.calls.at(-1)?.[0]).not.toBe(used);
  });

  it('keeps the bytes of a write in flight, but not a string, because Node has copied it', () => {
    const { write, handle, fake } = afterFirstWrite(new Request());
    vi.spyOn(Request.prototype, 'getAsyncId').mockReturnValue(7);
    const bytes = Buffer.alloc(100_000);
    for (const data of [bytes, 'x'.repeat(100_000)]) {
      expect(write?.(handle, data, unexpected)).toBe('later');
      expect(fake.calls.at(-1)?.[0]).toHaveProperty('data', data === bytes ? bytes : undefined);
    }
    vi.restoreAllMocks();
  });

  it('uses the request that a Node returns which expects none', () => {
    const { write, handle, fake } = afterFirstWrite(null);
    expect(write?.(handle, 'a', unexpected)).toBe('now');
    expect(fake.calls.at(-1)).toEqual([null, 'a']);
    fake.answer = -32;
    expect(write?.(handle, 'b', unexpected)).toBe(-32);
    const request = new Request();
    fake.answer = request;
    const statuses: number[] = [];
    expect(write?.(handle, 'c', { completed: (status) => statuses.push(status) })).toBe('later');
    request.oncomplete?.(0);
    expect(statuses).toEqual([0]);
  });

  it.each([
    [0, 'now'],
    [-104, -104],
  ])('returns the status of a write that completed before a listener was set: %s', (writeStatus, outcome) => {
    const { write, handle, fake } = afterFirstWrite(null);
    fake.answer = Object.assign(new Request(), { writeStatus });
    expect(write?.(handle, 'a', unexpected)).toBe(outcome);
  });

  it.each([undefined, 7, {}, { getAsyncId: 1 }])('leaves writing to Node if its request is %j', (request) => {
    expect(afterFirstWrite(request).write).toBeUndefined();
  });

  it.each([
    null,
    undefined,
    {},
    { ...new Handle(), writev: 1 },
    Object.assign(new Handle(), { writeQueueSize: undefined }),
  ])('leaves writing to Node if the handle is %j', (handle) => {
    expect(fresh.writerOf(socketOf(handle))).toBeUndefined();
    expect(fresh.handleOf(socketOf(handle))).toBeUndefined();
  });

  it('joins small pieces, and passes large ones separately', () => {
    const { write, handle, fake } = afterFirstWrite(null);
    write?.(handle, ['é', Buffer.from('b')], unexpected);
    expect(fake.calls.at(-1)).toEqual([null, Buffer.from('éb')]);
    const large = Buffer.alloc(20_000);
    write?.(handle, [large, large], unexpected);
    expect(fake.calls.at(-1)).toEqual([null, [large, large], true]);
    write?.(handle, ['a', large], unexpected);
    expect(fake.calls.at(-1)).toEqual([null, ['a', 'utf8', large, 'buffer'], false]);
  });
});

describe('with a peer that does not read yet', () => {
  it('a write after the first of the process, which Node does, is not taken before the peer reads', async () => {
    const { nodeTransport } = await import('../../lib/transport/node.ts');
    const notified: string[] = [];
    let socket: Parameters<Parameters<typeof open>[0]>[0] | undefined;
    const accepted = (one: NonNullable<typeof socket>) => {
      const writable = () => notified.push(`writable, ${one.pending} pending`);
      one.handler = { ...NO_HANDLER, writable };
      socket = one;
    };
    const { connect, port } = await open(accepted, undefined, nodeTransport);
    const client = connect().pause();
    await vi.waitFor(() => expect(socket).toBeDefined());
    expect(socket?.write('a')).toBe(true);
    expect(socket?.write(Buffer.alloc(16 * 1024 * 1024))).toBe(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(notified).toEqual([]);
    client.resume();
    await vi.waitFor(() => expect(notified).toEqual(['writable, 0 pending']), 10_000);
    port.close();
    client.destroy();
  });

  it('its bytes are intact although other connections write small pieces meanwhile', async () => {
    const accepted: Parameters<Parameters<typeof open>[0]>[0][] = [];
    const { connect, port } = await open((socket) => {
      socket.handler = NO_HANDLER;
      accepted.push(socket);
    });
    const clients = [connect(), connect(), connect()];
    await vi.waitFor(() => expect(accepted).toHaveLength(3));
    const sent = accepted.map(() => '');
    // Until no socket takes more. The last pieces of each are still in memory while those of the others are written.
    const stuck = new Set<number>();
    for (let n = 0; stuck.size < 3; n++) {
      const which = n % 3;
      if (stuck.has(which)) continue;
      const pieces = [`${n}:`, Buffer.alloc(5000, 97 + (n % 26)), '\n'];
      sent[which] += pieces.join('');
      if (!accepted[which]?.write(pieces)) stuck.add(which);
    }
    const all = clients.map((client) => readAll(client));
    for (const socket of accepted) socket.end();
    const received = (await Promise.all(all)).map(String);
    expect(received.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
    expect(received.every((text, which) => text === sent[which])).toBe(true);
    port.close();
    for (const client of clients) client.destroy();
  });
});
