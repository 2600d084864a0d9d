import {
  BLANK,
  Carry,
  type Decoder,
  FrameInvalidError,
  FrameTruncatedError,
  type Input,
  PENDING,
} from '../../../lib/index.ts';
import { splitInline } from './inline.ts';
import type { ByteString } from './reply.ts';

const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const STAR = 0x2a;
const DOLLAR = 0x24;
/** V8 copies a substring of up to 12 characters; a longer one would keep the text of the whole chunk in memory. */
const SHORT = 12;
/** Bytes that V8 needs for an argument besides its text. */
const ARGUMENT = 32;

/** The client does not speak the protocol, so nothing that follows can be decoded. */
export class ProtocolError extends FrameInvalidError {
  /** The error that the client is sent. */
  readonly reply: string;

  constructor(problem: string) {
    super(problem);
    this.reply = `ERR Protocol error: ${problem}`;
  }
}

/** How much of the server's memory a request may use. */
export interface RequestLimits {
  /** Bytes of a line: an inline command, or the head of an array or a bulk. @default 65536 */
  readonly maxLine?: number;
  /** Arguments of a command. @default 1048576 */
  readonly maxArguments?: number;
  /** Bytes of one argument; Redis itself allows 512 MiB. @default 67108864 */
  readonly maxBulk?: number;
}

/** A command's name and its arguments. */
export type Request = readonly ByteString[];

/**
 * A request whose length the arity of its command allows. The first arguments are typed as present, because the arity is
 * checked before a command runs. A command checks the length before it reads an argument that its arity does not promise.
 */
export type Args = readonly [
  name: ByteString,
  one: ByteString,
  two: ByteString,
  three: ByteString,
  ...rest: ByteString[],
];

/**
 * Decodes requests, wherever the chunks begin and end. Every byte is looked at once: the unfinished part of a chunk is buffered,
 * and the next chunk continues from there.
 */
export class RequestDecoder implements Decoder<Request> {
  readonly #maxLine: number;
  readonly #maxArguments: number;
  readonly #maxBulk: number;
  #args: ByteString[] = [];
  /** Arguments still to come; 0 between two requests. */
  #missing = 0;
  /** The length of the next bulk, without its line end; -1 before its head has been decoded. */
  #bulk = -1;
  /** The first bytes of an unfinished line or bulk. */
  readonly #carry = new Carry();
  /** Bytes of the unfinished request that came in earlier chunks. */
  #buffered = 0;
  /** The chunk as text, of which short arguments are substrings, and the chunk that it was made of. */
  #text = '';
  #textOf: Buffer | undefined;

  constructor({ maxLine = 65_536, maxArguments = 1_048_576, maxBulk = 67_108_864 }: RequestLimits = {}) {
    this.#maxLine = maxLine;
    this.#maxArguments = maxArguments;
    this.#maxBulk = maxBulk;
  }

  get buffered(): number {
    return this.#buffered;
  }

  /** An argument costs more than its bytes: a slot in the array, and the header of the string. */
  get memory(): number {
    return this.#buffered + this.#args.length * ARGUMENT + this.#text.length;
  }

  /** @throws {ProtocolError} With the message of Redis. */
  decode(input: Input): Request | typeof PENDING | typeof BLANK {
    const { bytes, at } = input;
    let found: Request | typeof BLANK | undefined;
    while (input.at < bytes.length && found === undefined) {
      found = this.#bulk >= 0 ? this.#decodeBulk(input) : this.#decodeLine(input);
    }
    if (found !== undefined) {
      this.#buffered = 0;
      return found;
    }
    this.#buffered += bytes.length - at;
    // The next chunk may be the same buffer with other bytes, so this text must not be reused.
    this.#textOf = undefined;
    this.#text = '';
    return PENDING;
  }

  decodeEof(): never {
    throw new FrameTruncatedError(this.#buffered);
  }

  #decodeBulk(input: Input): Request | undefined {
    const { bytes, at } = input;
    const length = this.#bulk;
    const end = Math.min(bytes.length, at + length + 2 - this.#carry.length);
    input.at = end;
    if (end - at === length + 2) return this.#add(this.#textAt(bytes, at, at + length));
    this.#carry.add(bytes, at, end, length + 2);
    if (this.#carry.length < length + 2) return undefined;
    const argument = this.#carry.view.toString('latin1', 0, length);
    this.#carry.clear();
    return this.#add(argument);
  }

  #add(argument: ByteString): Request | undefined {
    this.#bulk = -1;
    this.#args.push(argument);
    if (--this.#missing > 0) return undefined;
    const args = this.#args;
    this.#args = [];
    return args;
  }

  #textAt(bytes: Buffer, start: number, end: number): ByteString {
    if (end - start > SHORT) return bytes.toString('latin1', start, end);
    if (this.#textOf !== bytes) {
      this.#textOf = bytes;
      this.#text = bytes.toString('latin1');
    }
    return this.#text.substring(start, end);
  }

  #decodeLine(input: Input): Request | typeof BLANK | undefined {
    const { bytes, at } = input;
    const carry = this.#carry;
    if (carry.length === 0) {
      const end = this.#decodeHead(bytes, at);
      if (end > 0) {
        input.at = end;
        return undefined;
      }
    }
    const feed = bytes.indexOf(LF, at);
    const end = feed < 0 ? bytes.length : feed + 1;
    if (carry.length + end - at > this.#maxLine) throw this.#tooLong(carry.view[0] ?? bytes[at]);
    input.at = end;
    if (carry.length === 0 && feed >= 0) return this.#finish(bytes.toString('latin1', at, feed));
    carry.add(bytes, at, end, this.#maxLine);
    if (feed < 0) return undefined;
    const line = carry.view.toString('latin1', 0, carry.length - 1);
    carry.clear();
    return this.#finish(line);
  }

  /** The fast path for a complete `*3\r\n` or `$10\r\n`: it creates no string. @returns The position of its end, or 0. */
  #decodeHead(bytes: Buffer, start: number): number {
    if (bytes[start] !== (this.#missing === 0 ? STAR : DOLLAR)) return 0;
    let at = start + 1;
    let value = 0;
    for (; at < start + 9; at++) {
      const digit = (bytes[at] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === start + 1 || (bytes[start + 1] === ZERO && (at > start + 2 || this.#missing === 0))) return 0;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return 0;
    this.#announce(value);
    return at + 2;
  }

  #finish(untrimmed: ByteString): Request | typeof BLANK | undefined {
    const line = untrimmed.endsWith('\r') ? untrimmed.slice(0, -1) : untrimmed;
    if (this.#missing > 0) {
      if (!line.startsWith('$')) throw new ProtocolError(`expected '$', got '${line[0] ?? ' '}'`);
      this.#announce(wholeNumber(line));
      return undefined;
    }
    if (line.startsWith('*')) {
      this.#announce(wholeNumber(line));
      return this.#missing === 0 ? BLANK : undefined;
    }
    const args = splitInline(line);
    if (args === undefined) throw new ProtocolError('unbalanced quotes in request');
    return args.length === 0 ? BLANK : args;
  }

  /** Stores how many arguments the request has, or how many bytes the argument. An array of no arguments is no request. */
  #announce(value: number): void {
    if (this.#missing > 0) {
      if (!(value >= 0 && value <= this.#maxBulk)) throw new ProtocolError('invalid bulk length');
      this.#bulk = value;
    } else {
      if (!(value <= this.#maxArguments)) throw new ProtocolError('invalid multibulk length');
      this.#missing = Math.max(0, value);
    }
  }

  #tooLong(first: number | undefined): ProtocolError {
    if (this.#missing > 0) return new ProtocolError('too big bulk count string');
    return new ProtocolError(first === STAR ? 'too big mbulk count string' : 'too big inline request');
  }
}

/** Parses an integer as strictly as Redis does; NaN for any other text. */
function wholeNumber(line: string): number {
  const text = line.slice(1);
  return /^(?:0|-?[1-9]\d{0,18})$/.test(text) ? Number(text) : Number.NaN;
}
