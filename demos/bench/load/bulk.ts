import { dial, unlessStalled } from './dial.ts';
import type { Job, Load } from './job.ts';
import { Window } from './window.ts';

const mebibyte = 1024 * 1024;
/** The output of a source: bytes 0 to 255, repeated. One period longer than a read, so that any read equals a slice of it. */
const pattern = Buffer.from(Uint8Array.from({ length: 64 * 1024 + 256 }, (_, index) => index & 255));
const chunk = pattern.subarray(0, 64 * 1024);
/** MiB per connection in a pass. */
const size = 16;

/**
 * Bytes in one direction, in passes. Every connection is opened and closed within the pass, and carries the same number of
 * MiB. A pass ends when the server has confirmed, or sent, every byte. So its CPU time is that of exactly its bytes.
 */
export function bulk(job: Job): Load {
  const carry = job.kind === 'bulk-in' ? send : receive;
  let moved = 0;
  const progress = (bytes: number) => {
    moved += bytes;
  };
  const pass = () =>
    Array.from({ length: job.connections }, (_, index) => carry(job, index, size * mebibyte, progress));
  const measure = async (ms: number) => {
    const window = new Window(job.pid, ms);
    do {
      await unlessStalled(Promise.all(pass()), () => moved);
      window.count += size * job.connections;
    } while (!window.isOver());
    return window.close();
  };
  return { measure };
}

/** Sends `bytes` and a FIN. The server replies with the number of bytes that it has read, in eight bytes. */
function send(job: Job, index: number, bytes: number, progress: (bytes: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const reply: Buffer[] = [];
    let left = bytes;
    const socket = dial(job, index, {
      open: fill,
      read: (read, length) => reply.push(Buffer.from(read.subarray(0, length))),
      close: () => {
        const whole = Buffer.concat(reply);
        if (whole.length === 8 && whole.readBigUInt64BE() === BigInt(bytes)) resolve();
        else reject(new Error(`Wrong reply: ${whole.toString('hex') || 'nothing'} for ${bytes} bytes`));
      },
      fail: reject,
    });
    function fill(): void {
      let room = true;
      while (left > 0 && room) {
        room = socket.write(chunk);
        left -= chunk.length;
        progress(chunk.length);
      }
      if (left > 0) socket.once('drain', fill);
      else socket.end();
    }
  });
}

/** Requests `bytes`, a number in eight bytes. The server replies with that many bytes of the pattern. */
function receive(job: Job, index: number, bytes: number, progress: (bytes: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = 0;
    const request = Buffer.alloc(8);
    request.writeBigUInt64BE(BigInt(bytes));
    dial(job, index, {
      open: (opened) => opened.write(request),
      read: (read, length, socket) => {
        const due = seen & 255;
        seen += length;
        progress(length);
        if (seen > bytes || read.compare(pattern, due, due + length, 0, length) !== 0) {
          socket.destroy(new Error(`Wrong reply: not the pattern, or more than ${bytes} bytes`));
        } else if (seen === bytes) {
          socket.end();
        }
      },
      close: () => (seen === bytes ? resolve() : reject(new Error(`Wrong reply: ${seen} of ${bytes} bytes`))),
      fail: reject,
    });
  });
}
