import { dial, unlessStalled } from './dial.ts';
import type { Job, Load } from './job.ts';
import { Window } from './window.ts';

const mebibyte = 1024 * 1024;
/** What a source sends: bytes 0 to 255 over and over. Longer than a read by a period, so that any read is a slice. */
const pattern = Buffer.from(Uint8Array.from({ length: 64 * 1024 + 256 }, (_, index) => index & 255));
const chunk = pattern.subarray(0, 64 * 1024);
/** MiB over each connection in a pass. */
const size = 16;

/**
 * Bytes in one direction: passes in which every connection carries the same number of MiB, opened and closed
 * within the pass. A pass is over when the server has answered for every byte, so the CPU time of a pass is that
 * of exactly its bytes.
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

/** Sends `bytes` and a FIN; the server's reply is the number of bytes it has read, eight bytes long. */
function send(job: Job, index: number, bytes: number, progress: (bytes: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const reply: Buffer[] = [];
    let left = bytes;
    const socket = dial(job.port, index, {
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

/** Asks for `bytes`, in eight bytes; the server's reply is that many bytes of the pattern. */
function receive(job: Job, index: number, bytes: number, progress: (bytes: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = 0;
    const request = Buffer.alloc(8);
    request.writeBigUInt64BE(BigInt(bytes));
    dial(job.port, index, {
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
