import type { Job } from './job.ts';

/** Frames in a ring: enough that the replies of different connections and requests differ. */
const many = 256;
/** The same for frames of more than a KiB, whose ring would take too much memory. */
const some = 8;
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';

/**
 * Requests of one size and their replies. Each is a buffer with all frames in sequence, twice, so that any sequence of up to a
 * full round is one slice. The load does not parse replies: it compares the received bytes with the slice that is due.
 */
export interface Wire {
  readonly frames: number;
  readonly requests: Buffer;
  readonly requestSize: number;
  readonly replies: Buffer;
  readonly replySize: number;
  /** Requests that are sent once, on a connection of their own, before the load begins. */
  readonly before?: Wire;
}

/** The wire of a job: frames of 64 bytes, or of its `size`; 1 KiB after a length of four bytes; or, for Redis, values of 64 bytes. */
export function wireOf({ mode, protocol, size = 64 }: Pick<Job, 'mode' | 'protocol' | 'size'>): Wire {
  if (protocol === 'nest') return build(nestRequest, nestReply);
  if (mode === 'length-prefixed') return build(prefixed, prefixed);
  if (mode === 'redis-set') return build(set, stored);
  if (mode === 'redis-get') return { ...build(get, value), before: whole(build(set, stored)) };
  if (mode === 'lines' || mode === 'once' || mode === 'async') return build(line, line);
  const raw = (index: number) => Buffer.from(text(index, size));
  return build(raw, raw, size > 1024 ? some : many);
}

function build(request: (index: number) => Buffer, reply: (index: number) => Buffer, frames = many): Wire {
  const all = (make: (index: number) => Buffer) =>
    Array.from({ length: frames * 2 }, (_, index) => make(index % frames));
  const requests = all(request);
  const replies = all(reply);
  return {
    frames,
    requests: Buffer.concat(requests),
    requestSize: sizeOf(requests),
    replies: Buffer.concat(replies),
    replySize: sizeOf(replies),
  };
}

/** All frames of a wire as one frame. */
function whole({ frames, requests, requestSize, replies, replySize }: Wire): Wire {
  const [asked, answered] = [frames * requestSize, frames * replySize];
  return {
    frames: 1,
    requests: requests.subarray(0, asked),
    requestSize: asked,
    replies: replies.subarray(0, answered),
    replySize: answered,
  };
}

function sizeOf(all: readonly Buffer[]): number {
  const size = all[0]?.length ?? 0;
  if (size === 0 || all.some((frame) => frame.length !== size)) {
    throw new Error('Cannot build a wire: its frames have different sizes');
  }
  return size;
}

/** Printable text that begins with the number of the frame. */
function text(index: number, length: number): string {
  let out = String(index).padStart(4, '0');
  for (let at = out.length; at < length; at++) out += letters[(index * 7 + at) % letters.length];
  return out;
}

const line = (index: number) => Buffer.from(`${text(index, 63)}\n`);

/** A bulk string of Redis: its length, then its bytes. */
const bulk = (value: string) => `$${value.length}\r\n${value}\r\n`;
const command = (...parts: string[]) => Buffer.from(`*${parts.length}\r\n${parts.map(bulk).join('')}`);
const keyOf = (index: number) => `key:${String(index).padStart(12, '0')}`;
const set = (index: number) => command('SET', keyOf(index), text(index, 64));
const get = (index: number) => command('GET', keyOf(index));
const stored = () => Buffer.from('+OK\r\n');
const value = (index: number) => Buffer.from(bulk(text(index, 64)));

function prefixed(index: number): Buffer {
  const frame = Buffer.alloc(4 + 1024);
  frame.writeUInt32BE(1024);
  frame.write(text(index, 1024), 4);
  return frame;
}

/** NestJS frames a message as the length of its JSON in characters, a `#`, and the JSON. */
const nest = (message: object) => {
  const json = JSON.stringify(message);
  return Buffer.from(`${json.length}#${json}`);
};
const idOf = (index: number) => String(index).padStart(4, '0');
const nestRequest = (index: number) => nest({ pattern: 'echo', data: text(index, 64), id: idOf(index) });
const nestReply = (index: number) => nest({ response: text(index, 64), isDisposed: true, id: idOf(index) });
