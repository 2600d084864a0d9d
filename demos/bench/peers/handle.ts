/**
 * The handle alone: plain JavaScript on Node's handle of a connection, without a `net.Socket`. It is the floor for a server in
 * Node, not a server for use: it has no deadlines and no backpressure, and relies on the kernel to take each reply at once.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Mode } from '../load/job.ts';
import { announce, backlog, pick, readArguments } from './program.ts';
import { acceptHandles, learnWrite, type TcpHandle, type Write } from './tcpHandle.ts';

/** The read buffer of all connections. One is enough, because what is kept of a read is copied. */
const shared = Buffer.allocUnsafe(64 * 1024);
const newline = 10;

/** Makes the function that receives what a connection reads. */
type Handler = (handle: TcpHandle, write: Write) => (bytes: Buffer) => void;

const handlers: Partial<Record<Mode, Handler>> = {
  echo: (handle, write) => (bytes) => write(handle, bytes),

  /** Lines are decoded once a read; the replies are joined to one string for one write. */
  lines(handle, write) {
    let rest: Buffer | undefined;
    return (bytes) => {
      const input = rest === undefined ? bytes : Buffer.concat([rest, bytes]);
      const end = input.lastIndexOf(newline) + 1;
      rest = end < input.length ? Buffer.from(input.subarray(end)) : undefined;
      if (end === 0) return;
      let replies = '';
      for (const line of input.toString('utf8', 0, end - 1).split('\n')) replies += `${line}\n`;
      write(handle, replies);
    };
  },

  /** Whole frames are found, and written back together, with their headers. */
  'length-prefixed'(handle, write) {
    let rest: Buffer | undefined;
    return (bytes) => {
      const input = rest === undefined ? bytes : Buffer.concat([rest, bytes]);
      let at = 0;
      while (input.length - at >= 4 && at + 4 + input.readUInt32BE(at) <= input.length)
        at += 4 + input.readUInt32BE(at);
      rest = at < input.length ? Buffer.from(input.subarray(at)) : undefined;
      if (at > 0) write(handle, input.subarray(0, at));
    };
  },

  once(handle, write) {
    let text = '';
    return (bytes) => {
      text += bytes.toString('utf8');
      const end = text.indexOf('\n');
      if (end < 0) return;
      write(handle, `${text.slice(0, end)}\n`);
      handle.close();
    };
  },
};

function accept(handle: TcpHandle, open: Handler, write: Write): void {
  const received = open(handle, write);
  let before = 0;
  handle.setNoDelay(true);
  handle.useUserBuffer(shared);
  handle.onread = () => {
    const length = handle.bytesRead - before;
    before += length;
    if (length > 0) received(shared.subarray(0, length));
    // After a read that filled the buffer, no growth could also mean that there was nothing more. The loads never fill it.
    else handle.close();
  };
  handle.readStart();
}

const settings = readArguments();
const open = pick(handlers, settings.mode);
const server = createServer().listen({ host: settings.host, port: settings.port, backlog });
await once(server, 'listening');
const write = await learnWrite(server);
acceptHandles(server, (handle) => accept(handle, open, write));
announce(server);
