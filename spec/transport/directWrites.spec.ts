import type { Socket } from 'node:net';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type * as DirectWrites from '../../lib/transport/directWrites.ts';
import { open, readAll } from '../support/sockets.ts';

// What is learnt is learnt once a process: each spec has a module that knows nothing yet.
let fresh: typeof DirectWrites;
beforeEach(async () => {
  vi.resetModules();
  fresh = await import('../../lib/transport/directWrites.ts');
});

/** A handle that notes what it is asked, and answers as it is told to. */
class Handle {
  readonly asked: unknown[][] = [];
  answer: unknown = 0;
  writeQueueSize: unknown = 0;
  writeUtf8String(...asked: unknown[]): unknown {
    this.asked.push(asked);
    return this.answer;
  }
  writeBuffer(...asked: unknown[]): unknown {
    return this.writeUtf8String(...asked);
  }
  writev(...asked: unknown[]): unknown {
    return this.writeUtf8String(...asked);
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
const nobody = { completed: () => expect.unreachable() };

/** Learns from a write that Node would do with this request. */
function learnt(request: unknown) {
  const handle = new Handle();
  const socket = socketOf(handle);
  expect(fresh.writerOf(socket)).toBeUndefined();
  handle.writeUtf8String(request, 'first');
  expect(handle.asked).toEqual([[request, 'first']]);
  return { write: fresh.writerOf(socket), handle: fresh.handleOf(socket) as DirectWrites.WritingHandle, fake: handle };
}

describe('writerOf', () => {
  it('knows a Node that wants a request, and uses one again that was not needed', () => {
    const { write, handle, fake } = learnt(new Request());
    expect(write?.(handle, 'a', nobody)).toBe('now');
    expect(write?.(handle, Buffer.from('b'), nobody)).toBe('now');
    const [, a, b] = fake.asked;
    expect(a?.[0]).toBeInstanceOf(Request);
    expect(b?.[0]).toBe(a?.[0]);
    fake.answer = -32;
    expect(write?.(handle, 'c', nobody)).toBe(-32);
  });

  it('tells who wrote to a Node that wants a request when the write is over', () => {
    const { write, handle, fake } = learnt(new Request());
    vi.spyOn(Request.prototype, 'getAsyncId').mockReturnValue(7);
    const statuses: number[] = [];
    expect(write?.(handle, 'a', { completed: (status) => statuses.push(status) })).toBe('later');
    const [used] = fake.asked.at(-1) as [Request];
    used.oncomplete?.(-104);
    expect(statuses).toEqual([-104]);
    vi.restoreAllMocks();
    expect(write?.(handle, 'b', nobody)).toBe('now');
    expect(fake.asked.at(-1)?.[0]).not.toBe(used);
  });

  it('keeps the bytes of a write that is under way, and no string, of which Node has a copy', () => {
    const { write, handle, fake } = learnt(new Request());
    vi.spyOn(Request.prototype, 'getAsyncId').mockReturnValue(7);
    const bytes = Buffer.alloc(100_000);
    for (const data of [bytes, 'x'.repeat(100_000)]) {
      expect(write?.(handle, data, nobody)).toBe('later');
      expect(fake.asked.at(-1)?.[0]).toHaveProperty('data', data === bytes ? bytes : undefined);
    }
    vi.restoreAllMocks();
  });

  it('knows a Node that wants none, and answers with one where it is needed', () => {
    const { write, handle, fake } = learnt(null);
    expect(write?.(handle, 'a', nobody)).toBe('now');
    expect(fake.asked.at(-1)).toEqual([null, 'a']);
    fake.answer = -32;
    expect(write?.(handle, 'b', nobody)).toBe(-32);
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
  ])('takes the word of a request that is over before anybody could be told: %s', (writeStatus, outcome) => {
    const { write, handle, fake } = learnt(null);
    fake.answer = Object.assign(new Request(), { writeStatus });
    expect(write?.(handle, 'a', nobody)).toBe(outcome);
  });

  it.each([undefined, 7, {}, { getAsyncId: 1 }])('leaves writing to a Node that asks with %j', (request) => {
    expect(learnt(request).write).toBeUndefined();
  });

  it.each([
    null,
    undefined,
    {},
    { ...new Handle(), writev: 1 },
    Object.assign(new Handle(), { writeQueueSize: undefined }),
  ])('leaves writing to a socket whose handle is %j', (handle) => {
    expect(fresh.writerOf(socketOf(handle))).toBeUndefined();
    expect(fresh.handleOf(socketOf(handle))).toBeUndefined();
  });

  it('hands small pieces on as one, and large ones each', () => {
    const { write, handle, fake } = learnt(null);
    write?.(handle, ['é', Buffer.from('b')], nobody);
    expect(fake.asked.at(-1)).toEqual([null, Buffer.from('éb')]);
    const large = Buffer.alloc(20_000);
    write?.(handle, [large, large], nobody);
    expect(fake.asked.at(-1)).toEqual([null, [large, large], true]);
    write?.(handle, ['a', large], nobody);
    expect(fake.asked.at(-1)).toEqual([null, ['a', 'utf8', large, 'buffer'], false]);
  });
});

describe('a peer that reads late', () => {
  it('has not taken what was written behind the first write of the process, which Node did', async () => {
    const { nodeTransport } = await import('../../lib/transport/node.ts');
    const heard: string[] = [];
    let socket: Parameters<Parameters<typeof open>[0]>[0] | undefined;
    const accepted = (one: NonNullable<typeof socket>) => {
      const drained = () => heard.push(`drained, ${one.pending} pending`);
      one.handler = {
        received() {},
        peerEnded() {},
        writable: drained,
        finished() {},
        writeFailed() {},
        failed() {},
        freed() {},
      };
      socket = one;
    };
    const { connect, port } = await open(accepted, undefined, nodeTransport);
    const client = connect().pause();
    await vi.waitFor(() => expect(socket).toBeDefined());
    expect(socket?.write('a')).toBe(true);
    expect(socket?.write(Buffer.alloc(16 * 1024 * 1024))).toBe(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toEqual([]);
    client.resume();
    await vi.waitFor(() => expect(heard).toEqual(['drained, 0 pending']), 10_000);
    port.close();
    client.destroy();
  });

  it('gets what was written, though others write small pieces meanwhile', async () => {
    const accepted: Parameters<Parameters<typeof open>[0]>[0][] = [];
    const { connect, port } = await open((socket) => {
      socket.handler = {
        received() {},
        peerEnded() {},
        writable() {},
        finished() {},
        writeFailed() {},
        failed() {},
        freed() {},
      };
      accepted.push(socket);
    });
    const clients = [connect(), connect(), connect()];
    await vi.waitFor(() => expect(accepted).toHaveLength(3));
    const sent = accepted.map(() => '');
    // Until none of them takes any more: the last pieces of each lie in memory, with those of the others written behind them.
    const stuck = new Set<number>();
    for (let n = 0; stuck.size < 3; n++) {
      const who = n % 3;
      if (stuck.has(who)) continue;
      const pieces = [`${n}:`, Buffer.alloc(5000, 97 + (n % 26)), '\n'];
      sent[who] += pieces.join('');
      if (!accepted[who]?.write(pieces)) stuck.add(who);
    }
    const all = clients.map((client) => readAll(client));
    for (const socket of accepted) socket.end();
    const received = (await Promise.all(all)).map(String);
    expect(received.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
    expect(received.every((text, who) => text === sent[who])).toBe(true);
    port.close();
    for (const client of clients) client.destroy();
  });
});
