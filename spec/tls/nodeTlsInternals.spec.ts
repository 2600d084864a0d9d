import { EventEmitter } from 'node:events';
import { createServer, TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { tlsServer } from '../../lib/tls/tlsSide.ts';
import { netTransport } from '../../lib/transport/node.ts';
import { handles } from '../../lib/transport/nodeInternals.ts';
import { canBeBare, learnServer } from '../../lib/transport/nodeTlsHandshake.ts';
import { closeSecured, freeSecured, ownSecured, takeSecured } from '../../lib/transport/nodeTlsInternals.ts';
import { iteration } from '../support/clock.ts';
import { accepted, cert, type Ends, key } from './securePair.ts';

const open: Ends[] = [];

afterEach(() => {
  for (const { socket, peer, raw } of open.splice(0)) {
    socket.destroy();
    peer.destroy();
    raw.destroy();
  }
  vi.restoreAllMocks();
});

/** A socket of a client that is connected. */
async function connected(): Promise<TLSSocket> {
  const ends = await accepted(netTransport);
  open.push(ends);
  return ends.peer;
}

/** What is taken has no socket that closes it. */
function close(taken: ReturnType<typeof takeSecured>): void {
  taken?.raw.close(() => {});
  open.pop()?.socket.destroy();
}

type Wrap = Record<string, unknown> & { _parent: object; _parentWrap: object };
const wrapOf = (socket: TLSSocket) => (socket as unknown as { _handle: Wrap })._handle;

describe.runIf(handles())('the handles of a TLS connection', () => {
  it('are taken once', async () => {
    const socket = await connected();
    const { _parent: raw } = wrapOf(socket);
    const taken = takeSecured(socket);
    expect(taken).toMatchObject({ raw, socket, read: [] });
    expect(takeSecured(socket)).toBeUndefined();
    close(taken);
  });

  it('are taken with what was read before', async () => {
    const ends = await accepted(netTransport);
    open.push(ends);
    ends.peer.on('readable', () => {});
    ends.socket.write('abc');
    for (let i = 0; i < 100 && ends.peer.readableLength < 3; i++) await iteration();
    const taken = takeSecured(ends.peer);
    expect(String(Buffer.concat(taken?.read ?? []))).toBe('abc');
    close(taken);
  });

  it('refer to nothing of the connection once they are freed', async () => {
    const { _parent } = wrapOf(await connected());
    const { socket, peer } = open.at(-1) as Ends;
    const taken = takeSecured(peer);
    if (taken === undefined) return expect.unreachable();
    const owner = Object.create({ bytesRead: 0 });
    ownSecured(taken, owner);
    const holders = [taken.tls, taken.raw, taken.socket] as object[] as Record<symbol, unknown>[];
    const held = () =>
      holders.map((holder) => Object.getOwnPropertySymbols(holder).some((key) => holder[key] === owner));
    expect(held()).toEqual([true, true, true]);
    await new Promise<void>((resolve) => {
      owner.closed = resolve;
      closeSecured(taken);
    });
    freeSecured(taken);
    expect(held()).toEqual([false, false, false]);
    // Node may still report something, which reaches nothing.
    taken.socket.emit('error', new Error('late'));
    taken.socket.destroy();
    expect(taken.raw).toBe(_parent);
    open.pop();
    socket.destroy();
  });

  it.each([
    ['has ended', (socket: TLSSocket) => socket.push(null)],
    ['has no handle', (socket: TLSSocket) => Object.assign(socket, { _handle: null })],
    ['is on a stream that is no socket', (socket: TLSSocket) => Object.assign(wrapOf(socket), { _parent: {} })],
    ['is on another socket', (socket: TLSSocket) => Object.assign(wrapOf(socket), { _parentWrap: { _handle: null } })],
    ['cannot be freed', (socket: TLSSocket) => Object.assign(socket, { _destroySSL: undefined })],
    ['has another wrap', (socket: TLSSocket) => Object.assign(socket, { _handle: { ...wrapOf(socket) } })],
  ])('are not taken from a socket that %s', async (_what, change) => {
    const socket = await connected();
    const wrap = wrapOf(socket);
    const { _parent, _parentWrap } = wrap;
    change(socket);
    expect(takeSecured(socket)).toBeUndefined();
    // So that it can be closed.
    Object.assign(socket, { _handle: Object.assign(wrap, { _parent, _parentWrap }) });
    delete (socket as { _destroySSL?: unknown })._destroySSL;
  });
});

describe.runIf(handles())('a handshake without a TLSSocket', () => {
  const socketOf = (options: object, listeners = ['secure', '_tlsError', 'close']) => {
    const socket = Object.assign(new EventEmitter(), { _tlsOptions: { isServer: true, ...options } });
    for (const event of listeners) socket.on(event, function onSocketClose() {});
    return socket as unknown as TLSSocket;
  };
  const server = createServer({ cert, key });

  it('is known of this release of Node', async () => {
    expect(canBeBare()).toBe(true);
    const side = tlsServer({ cert, key });
    for (let i = 0; i < 10; i++) await iteration();
    expect(side.bare).toBeDefined();
  });

  it.each([
    ['of a client', { isServer: false }, undefined],
    ['with a trace', { enableTrace: true }, undefined],
    ['with keys that are agreed on before', { pskCallback: () => null }, undefined],
    ['whose server does not listen to it', {}, []],
    ['whose server listens to other events', {}, ['secure', 'close']],
  ])('is not learnt from a socket %s', (_what, options, listeners) => {
    expect(learnServer(socketOf(options, listeners), server)).toBeUndefined();
  });

  it.each([
    ['wraps a handle in another way', '_wrapHandle'],
    ['prepares it in another way', '_init'],
  ])('is unknown if Node %s', async (_what, name) => {
    vi.spyOn(TLSSocket.prototype as unknown as Record<string, () => void>, name).mockImplementation(() => {
      throw new TypeError('this.unheardOf is not a function');
    });
    expect(learnServer(socketOf({ secureContext: {} }), server)).toBeUndefined();
  });
});
