import { expect, it } from 'vitest';
import { MemorySocket } from '../../lib/testing/memorySocket.ts';
import type { Handle, Handles } from '../../lib/transport/handle.ts';
import { HandleSocket } from '../../lib/transport/handleSocket.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';

const ends = ['destroy', 'reset'] as const;

/** Throws at the first call, as any call does where the stack is full. */
const failingOnce = (work: () => void) => {
  let isFirst = true;
  return () => {
    if (isFirst) {
      isFirst = false;
      throw new RangeError('the stack is full');
    }
    work();
  };
};

it.each(ends)('%s closes the handle at the next call, if the stack was full at the first', (end) => {
  const closed: string[] = [];
  const handles = {
    own: () => undefined,
    close: failingOnce(() => closed.push('destroy')),
    reset: failingOnce(() => closed.push('reset')),
  } as Partial<Handles> as Handles;
  const handle = { getpeername: () => 0, bytesWritten: 0, writeQueueSize: 0 } as Partial<Handle> as Handle;
  const socket = new HandleSocket(handles, handle);
  expect(() => socket[end]()).toThrow(RangeError);
  socket[end]();
  socket[end]();
  expect(closed).toEqual([end]);
});

it.each(ends)('%s frees a socket in memory at the next call, if the stack was full at the first', (end) => {
  const freed: unknown[] = [];
  const work: (() => void)[] = [];
  // The first deferral is that of the RST or FIN.
  let calls = 0;
  const socket = new MemorySocket({ rst: () => undefined, fin: () => undefined } as never, {
    peer: { address: 'client', port: 1 },
    defer: (callback) => {
      if (++calls === 2) throw new RangeError('the stack is full');
      work.push(callback);
    },
    freed: (one) => freed.push(one),
  });
  socket.handler = NO_HANDLER;
  expect(() => socket[end]()).toThrow(RangeError);
  socket[end]();
  socket[end]();
  for (const callback of work) callback();
  expect(freed).toEqual([socket]);
});
