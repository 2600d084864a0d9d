import type { Input } from '../../lib/index.ts';
import type { BlockFrame, ContentFault } from './frame.ts';

const CR = 13;
const LF = 10;
const DOT = 46;

/** Bytes of a block, unless it is the last one. */
export const BLOCK = 32 * 1024;
/** The first memory of a block; it is doubled up to {@link BLOCK} as bytes arrive. */
const SMALLEST = 512;
/** The longest line without its CR LF. (RFC 5321, 4.5.3.1.6) */
export const LONGEST_LINE = 998;

/**
 * Where in a line the next byte is. Only CR LF ends a line, and only `CR LF . CR LF` ends the content. A reader that takes less
 * for the end can be made to read a part of a message as commands: SMTP smuggling.
 *
 * ```text
 *             .          CR          LF             any other
 * start       dot        cr          text  bare-lf  text
 * dot         text  .    dotCr       text  bare-lf  text         the first dot of a line is not content
 * dotCr       text       cr          END            text         bare-cr, but for END
 * text        text       cr          text  bare-lf  text
 * cr          text       cr          start          text         bare-cr, but for LF
 * ```
 */
const State = { start: 0, dot: 1, dotCr: 2, text: 3, cr: 4 } as const;
type State = (typeof State)[keyof typeof State];

/** Reads the content of one message: removes the dots that the client has added, and cuts it into blocks. */
export class ContentReader {
  readonly #maxSize: number;
  #state: State = State.start;
  #fault: ContentFault | undefined;
  #block: Buffer = Buffer.alloc(0);
  #length = 0;
  #index = 0;
  /** Bytes of the content so far. */
  #size = 0;
  /** Bytes of the line so far. */
  #line = 0;

  /** @param maxSize The most bytes that the content may have. */
  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  /** Bytes of memory that it holds. */
  get memory(): number {
    return this.#block.length;
  }

  /** @returns The next block; `undefined` if it is not complete. After a fault only the last block comes. */
  read(input: Input): BlockFrame | undefined {
    const { bytes } = input;
    this.#grow(bytes.length - input.at);
    while (input.at < bytes.length) {
      if (this.#state === State.text) this.#addText(input);
      if (this.#length === BLOCK) return this.#emit(false);
      if (input.at === bytes.length) return undefined;
      const byte = bytes[input.at++] ?? 0;
      if (this.#isEnd(byte)) return this.#emit(true);
      if (this.#length === BLOCK) return this.#emit(false);
    }
    return undefined;
  }

  /** Takes one byte. @returns Whether it is the last one of the content. */
  #isEnd(byte: number): boolean {
    const state = this.#state;
    if (byte === LF) {
      if (state === State.dotCr) return true;
      if (state !== State.cr) this.#refuse('bare-lf');
      this.#state = state === State.cr ? State.start : State.text;
      this.#line = -1;
    } else if (state === State.cr || state === State.dotCr) {
      this.#refuse('bare-cr');
      this.#state = byte === CR ? State.cr : State.text;
    } else if (byte === CR) {
      this.#state = state === State.dot ? State.dotCr : State.cr;
      if (state === State.dot) return false;
    } else if (byte === DOT && state === State.start) {
      this.#state = State.dot;
      return false;
    } else {
      this.#state = State.text;
    }
    this.#add(byte);
    return false;
  }

  /** Adds the bytes up to the end of the line at once, as far as no limit is near: most of the content goes this way. */
  #addText(input: Input): void {
    const { bytes, at } = input;
    if (this.#fault !== undefined) return;
    const most = Math.min(BLOCK - this.#length, LONGEST_LINE - this.#line, this.#maxSize - this.#size);
    const end = Math.min(bytes.length, at + most);
    let to = at;
    while (to < end && bytes[to] !== CR && bytes[to] !== LF) to++;
    bytes.copy(this.#block, this.#length, at, to);
    this.#length += to - at;
    this.#line += to - at;
    this.#size += to - at;
    input.at = to;
  }

  #add(byte: number): void {
    if (this.#fault !== undefined) return;
    // The CR is counted, too.
    if (++this.#line > LONGEST_LINE + 1) return this.#refuse('long-line');
    if (++this.#size > this.#maxSize) return this.#refuse('size');
    this.#block[this.#length++] = byte;
  }

  /** The rest is skipped as it arrives, and held nowhere. */
  #refuse(fault: ContentFault): void {
    this.#fault ??= fault;
    this.#block = Buffer.alloc(0);
    this.#length = 0;
  }

  #emit(isLast: boolean): BlockFrame {
    const bytes = this.#block.subarray(0, this.#length);
    this.#block = Buffer.alloc(0);
    this.#length = 0;
    return { type: 'block', index: this.#index++, bytes, isLast, fault: this.#fault };
  }

  /** Makes room for what has arrived, at most for one block. */
  #grow(more: number): void {
    const length = Math.min(BLOCK, this.#length + more);
    if (this.#fault !== undefined || length <= this.#block.length) return;
    const block = Buffer.allocUnsafeSlow(Math.min(BLOCK, Math.max(SMALLEST, length, 2 * this.#block.length)));
    this.#block.copy(block, 0, 0, this.#length);
    this.#block = block;
  }
}
