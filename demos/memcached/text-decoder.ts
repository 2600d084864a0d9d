import {
  BLANK,
  Carry,
  type Decoder,
  FrameTooLongError,
  FrameTruncatedError,
  type Input,
  PENDING,
} from '../../lib/index.ts';
import { gather, skip } from './gather.ts';
import { readLine, refused } from './lines.ts';
import type { Limits, MetaSetRequest, Request, StorageRequest } from './requests.ts';

const CR = 13;
const LF = 10;
/** The longest line that is not a list of keys, in bytes. */
const LINE = 2048;
const LIST_OF_KEYS = /^ {0,100}(get|gets|gat|gats) /;

type Waiting = StorageRequest | MetaSetRequest;

/** The text protocol: lines, some of which announce the length of a block of data that follows them. */
export class TextDecoder implements Decoder<Request> {
  readonly #limits: Limits;
  readonly #carry = new Carry();
  /** The request that waits for its data, their length, and the data once only their line end is missing. */
  #waiting: Waiting | undefined;
  #length = 0;
  #data: Buffer | undefined;
  /** Bytes to skip: the data of a refused request. */
  #skip = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get buffered(): number {
    return this.memory + (this.#skip === 0 && this.#waiting === undefined ? 0 : 1);
  }

  get memory(): number {
    return this.#carry.length + (this.#data?.length ?? 0);
  }

  decode(input: Input): Request | typeof PENDING | typeof BLANK {
    if (this.#waiting !== undefined) return this.#decodeBlock(input, this.#waiting);
    if (this.#skip === 0) return this.#decodeLine(input);
    this.#skip = skip(input, this.#skip);
    return this.#skip > 0 ? PENDING : BLANK;
  }

  decodeEof(): never {
    throw new FrameTruncatedError(this.buffered);
  }

  #decodeLine(input: Input): Request | typeof PENDING {
    const { bytes, at } = input;
    const found = bytes.indexOf(LF, at);
    const end = found < 0 ? bytes.length : found;
    if (this.#carry.length + end - at > LINE) this.#checkLength(input, end);
    input.at = found < 0 ? end : end + 1;
    if (found < 0 || this.#carry.length > 0) {
      if (end > at) this.#carry.add(bytes, at, end, this.#limits.maxLine);
      if (found < 0) return PENDING;
      const line = textOf(this.#carry.view, 0, this.#carry.length);
      this.#carry.clear();
      return this.#begin(input, line);
    }
    return this.#begin(input, textOf(bytes, at, end));
  }

  #begin(input: Input, line: string): Request | typeof PENDING {
    const { request, block } = readLine(line, this.#limits.maxItem);
    if (block < 0) return request;
    if (request.type !== 'storage' && request.type !== 'metaSet') {
      this.#skip = block + 2;
      return request;
    }
    this.#waiting = request;
    this.#length = block;
    return this.#decodeBlock(input, request);
  }

  #decodeBlock(input: Input, request: Waiting): Request | typeof PENDING {
    const { bytes } = input;
    if (this.#data === undefined) {
      this.#data = gather(this.#carry, input, this.#length);
      if (this.#data === undefined) return PENDING;
    }
    let ends: boolean;
    if (this.#carry.length === 0 && bytes.length - input.at >= 2) {
      ends = bytes[input.at] === CR && bytes[input.at + 1] === LF;
      input.at += 2;
    } else {
      const end = gather(this.#carry, input, 2);
      if (end === undefined) return PENDING;
      ends = end[0] === CR && end[1] === LF;
    }
    request.data = this.#data;
    this.#waiting = undefined;
    this.#data = undefined;
    if (ends) return request;
    return refused(request.type === 'storage' && request.noreply ? '' : 'CLIENT_ERROR bad data chunk');
  }

  #checkLength({ bytes, at }: Input, end: number): void {
    const length = this.#carry.length + end - at;
    const start = this.#carry.view.toString('latin1', 0, 106) + bytes.toString('latin1', at, Math.min(end, at + 106));
    const limit = LIST_OF_KEYS.test(start) ? this.#limits.maxLine : LINE;
    if (length > limit) throw new FrameTooLongError(limit, length);
  }
}

/** A line without the CR that may end it. Like the original, it leaves a line that consists of a CR alone as it is. */
function textOf(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('latin1', start, end - start > 1 && bytes[end - 1] === CR ? end - 1 : end);
}
