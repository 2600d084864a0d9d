import {
  BLANK,
  Carry,
  type Decoder,
  FrameInvalidError,
  FrameTruncatedError,
  type Input,
  PENDING,
} from '../../lib/index.ts';
import { gather, skip } from './gather.ts';
import { itemSize, MAX_KEY } from './item.ts';
import { nonQuiet, Opcode, Status, stores, wellFormed } from './opcodes.ts';
import type { BinaryRequest, Limits } from './requests.ts';

/** The first byte of a request, which selects this protocol. */
export const REQUEST_MAGIC = 0x80;

const HEADER = 24;

/** The fixed part of a request. */
interface Header {
  readonly opcode: number;
  readonly opaque: number;
  readonly cas: number;
  /** The lengths of the parts that follow, in bytes. */
  readonly extras: number;
  readonly key: number;
  readonly value: number;
  readonly status: number;
  readonly closes: boolean;
  /** How many bytes at the end of the request are skipped, because it is refused without them. */
  readonly skip: number;
}

/** The binary protocol: a header of 24 bytes announces the lengths of the parts behind it. */
export class BinaryDecoder implements Decoder<BinaryRequest> {
  readonly #limits: Limits;
  readonly #carry = new Carry();
  /** The header of a request whose parts have not all arrived. */
  #header: Header | undefined;
  #extrasAndKey: Buffer | undefined;
  #skip = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get buffered(): number {
    return this.memory + (this.#skip === 0 ? 0 : 1);
  }

  get memory(): number {
    const parts = this.#header === undefined ? 0 : HEADER + (this.#extrasAndKey?.length ?? 0);
    return this.#carry.length + parts;
  }

  decode(input: Input): BinaryRequest | typeof PENDING | typeof BLANK {
    if (this.#skip > 0) {
      this.#skip = skip(input, this.#skip);
      return this.#skip > 0 ? PENDING : BLANK;
    }
    if (this.#header === undefined) {
      const bytes = gather(this.#carry, input, HEADER);
      if (bytes === undefined) return PENDING;
      this.#header = readHeader(bytes, this.#limits.maxItem);
    }
    const header = this.#header;
    this.#extrasAndKey ??= gather(this.#carry, input, header.extras + header.key);
    if (this.#extrasAndKey === undefined) return PENDING;
    // Gathered apart from the other parts, into memory of its exact length, because the store keeps it.
    const value = gather(this.#carry, input, header.value);
    if (value === undefined) return PENDING;
    const extras = this.#extrasAndKey.subarray(0, header.extras);
    const key = this.#extrasAndKey.toString('latin1', header.extras);
    this.#header = undefined;
    this.#extrasAndKey = undefined;
    this.#skip = header.skip;
    const { opcode, opaque, cas, status, closes } = header;
    return { type: 'binary', opcode, opaque, cas, extras, key, value, status, closes };
  }

  decodeEof(): never {
    throw new FrameTruncatedError(this.buffered);
  }
}

function readHeader(bytes: Buffer, maxItem: number): Header {
  const magic = bytes.readUInt8(0);
  if (magic !== REQUEST_MAGIC) throw new FrameInvalidError(`its first byte is 0x${magic.toString(16)}, not 0x80`);
  const opcode = bytes.readUInt8(1);
  const key = bytes.readUInt16BE(2);
  const extras = bytes.readUInt8(4);
  const length = bytes.readUInt32BE(8);
  const value = length - key - extras;
  const base = { opcode, opaque: bytes.readUInt32BE(12), cas: Number(bytes.readBigUInt64BE(16)) };
  const nothing = { ...base, extras: 0, key: 0, value: 0 };
  // If the lengths do not add up, it is unknown where the next request begins.
  if (value < 0) return { ...nothing, status: Status.unknown, closes: true, skip: 0 };
  const formed = wellFormed(opcode, extras, key, value);
  if (key > MAX_KEY || formed === false) return { ...nothing, status: Status.invalid, closes: true, skip: 0 };
  if (formed === undefined) return { ...nothing, status: Status.unknown, closes: false, skip: length };
  // Flags may take four more bytes, which the store checks. Here a value is skipped only if it cannot fit in any case.
  if (stores(opcode) && itemSize(key, 0, value) > maxItem) {
    return { ...base, extras, key, value: 0, status: Status.tooLarge, closes: false, skip: value };
  }
  return { ...base, extras, key, value, status: Status.ok, closes: nonQuiet(opcode) === Opcode.quit, skip: 0 };
}
