import { isUtf8 } from 'node:buffer';
import { Carry, type Decoder, FrameTruncatedError, type Input, PENDING } from '../../lib/index.ts';
import { ContentReader } from './content.ts';
import type { CommandFrame, Frame, LineFault } from './frame.ts';

const CR = 13;
const LF = 10;

/** The longest command line with its CR LF: 512, and what the extensions offered here add to MAIL. (RFC 5321, 1870, 6152, 6531) */
export const LONGEST_COMMAND = 512 + 26 + 16 + 10;

/** Control characters, among them the CR that no LF follows. A tab separates words, although it should not. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f]/;

/** What the decoder asks the session before each frame. */
export interface Dialog {
  /** Whether the content of a message comes next. It is the session that decides, when it answers DATA. */
  readonly isInMessage: boolean;
}

/**
 * SMTP as frames: command lines, and between a DATA that the session accepts and the line with the dot, blocks of content.
 *
 * What the next frame is depends on the answer to the one before. So the decoder must not run ahead of the session: behind an
 * `exchange` with a concurrency of 1 the frame loop stops after each frame until it is answered.
 *
 * A message is one request of many frames: `buffered` stays above 0 from its DATA to its last block, so a drain waits for it.
 */
export class SmtpDecoder implements Decoder<Frame> {
  readonly #dialog: Dialog;
  readonly #maxSize: number;
  readonly #carry = new Carry();
  #content: ContentReader | undefined;
  /** The line is too long, and skipped up to its end. */
  #isSkipping = false;

  constructor(dialog: Dialog, maxSize: number) {
    this.#dialog = dialog;
    this.#maxSize = maxSize;
  }

  get buffered(): number {
    return this.#carry.length + (this.#isSkipping || this.#dialog.isInMessage ? 1 : 0);
  }

  get memory(): number {
    return this.#carry.length + (this.#content?.memory ?? 0);
  }

  decode(input: Input): Frame | typeof PENDING {
    if (!this.#dialog.isInMessage) return this.#decodeLine(input);
    this.#content ??= new ContentReader(this.#maxSize);
    const block = this.#content.read(input);
    if (block === undefined) return PENDING;
    if (block.isLast) this.#content = undefined;
    return block;
  }

  decodeEof(): never {
    throw new FrameTruncatedError(this.buffered);
  }

  #decodeLine(input: Input): CommandFrame | typeof PENDING {
    const { bytes, at } = input;
    const found = bytes.indexOf(LF, at);
    const end = found < 0 ? bytes.length : found + 1;
    input.at = end;
    if (this.#isSkipping || this.#carry.length + end - at > LONGEST_COMMAND) return this.#skip(found >= 0);
    this.#carry.add(bytes, at, end, LONGEST_COMMAND);
    if (found < 0) return PENDING;
    const line = this.#carry.take(this.#carry.length);
    return line.at(-2) === CR ? command(line.subarray(0, -2)) : refused('bare-lf');
  }

  #skip(hasEnded: boolean): CommandFrame | typeof PENDING {
    this.#carry.clear();
    this.#isSkipping = !hasEnded;
    return hasEnded ? refused('too-long') : PENDING;
  }
}

function command(bytes: Buffer): CommandFrame {
  const line = bytes.toString();
  if (CONTROLS.test(line) || !isUtf8(bytes)) return refused('bytes');
  return { type: 'command', line, fault: undefined };
}

const refused = (fault: LineFault): CommandFrame => ({ type: 'command', line: '', fault });
