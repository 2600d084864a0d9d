import { byteLength } from '../connection/writeQueue.ts';
import { FrameInvalidError, FrameTooLongError } from '../errors.ts';
import { type Checks, check, checkArgument, data, flag, oneOf } from '../options.ts';
import { allocate } from './carry.ts';

/** How the length of a frame is encoded in front of it. The decoder and the encoder take the same object. */
export interface LengthPrefix {
  /**
   * Bytes of the header, or `'varint'`: unsigned LEB128 as in protobuf, 7 bits in each byte, the lowest first, at most 10 bytes.
   * @default 4
   */
  readonly size?: 1 | 2 | 4 | 8 | 'varint' | undefined;
  /**
   * The byte order of the header. A varint has only one.
   * @default 'big'
   */
  readonly endian?: 'big' | 'little' | undefined;
  /**
   * Whether the encoded length includes the header.
   * @default false
   */
  readonly includesHeader?: boolean | undefined;
}

export const prefixChecks: Checks = {
  size: oneOf(1, 2, 4, 8, 'varint'),
  endian: oneOf('big', 'little'),
  includesHeader: flag,
};

/** Reads and writes one kind of header. */
export interface Header {
  /** The size in bytes of the header that begins at `at`, or 0 if it does not end before `end`. */
  measure(bytes: Buffer, at: number, end: number): number;
  /** The number in a header of `size` bytes: a bigint if a number would not be exact. */
  read(bytes: Buffer, at: number, size: number): number | bigint;
  /** The largest number that a header can encode. */
  readonly most: number;
  /** The size in bytes of the header that encodes this number. */
  sizeFor(value: number): number;
  write(bytes: Buffer, value: number): void;
}

/** The header of a prefix that has been validated. */
export function headerOf(prefix: LengthPrefix): { header: Header; includesHeader: boolean } {
  const { size = 4, endian = 'big', includesHeader = false } = prefix;
  return { header: size === 'varint' ? varint : fixed(size, endian === 'little'), includesHeader };
}

/**
 * Makes the function that puts its length in front of a frame, as `lengthPrefixed` decodes it:
 * `map(encodeLengthPrefixed({ size: 2 }))`.
 *
 * That function throws {@link FrameTooLongError} for a frame whose length the header cannot encode, and a TypeError for a frame
 * that is neither a string nor bytes.
 *
 * @example
 * ```ts
 * const encode = encodeLengthPrefixed({ size: 2 });
 * console.log(encode('hi').toString('hex'));
 * // → 00026869
 * ```
 *
 * @param prefix See {@link LengthPrefix}.
 * @returns A function from a frame to its bytes with the length in front of them.
 * @throws TypeError for an option that does not exist or has an invalid value.
 */
export function encodeLengthPrefixed(prefix: LengthPrefix = {}): (frame: string | Uint8Array) => Buffer {
  const { header, includesHeader } = headerOf(check('prefix frames', prefix, prefixChecks));
  return (frame) => {
    checkArgument('prefix a frame', 'frame', frame, data);
    const length = byteLength(frame);
    let size = header.sizeFor(length);
    // A varint that includes its own size can become longer by that; to count again once is enough.
    if (includesHeader) size = header.sizeFor(length + size);
    const counted = includesHeader ? size : 0;
    if (length + counted > header.most) throw new FrameTooLongError(header.most - counted, length);
    const bytes = allocate(size + length);
    header.write(bytes, length + counted);
    if (typeof frame === 'string') bytes.write(frame, size);
    else bytes.set(frame, size);
    return bytes;
  };
}

function fixed(size: 1 | 2 | 4 | 8, little: boolean): Header {
  return {
    measure: (_bytes, at, end) => (end - at < size ? 0 : size),
    read: readers[size][little ? 1 : 0],
    most: size === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * size) - 1,
    sizeFor: () => size,
    write: writers[size][little ? 1 : 0],
  };
}

type Writer = Header['write'];
const writers: Record<1 | 2 | 4 | 8, readonly [big: Writer, little: Writer]> = {
  1: [(bytes, value) => bytes.writeUInt8(value), (bytes, value) => bytes.writeUInt8(value)],
  2: [(bytes, value) => bytes.writeUInt16BE(value), (bytes, value) => bytes.writeUInt16LE(value)],
  4: [(bytes, value) => bytes.writeUInt32BE(value), (bytes, value) => bytes.writeUInt32LE(value)],
  8: [(bytes, value) => bytes.writeBigUInt64BE(BigInt(value)), (bytes, value) => bytes.writeBigUInt64LE(BigInt(value))],
};

type Reader = Header['read'];
const readers: Record<1 | 2 | 4 | 8, readonly [big: Reader, little: Reader]> = {
  1: [(bytes, at) => bytes.readUInt8(at), (bytes, at) => bytes.readUInt8(at)],
  2: [(bytes, at) => bytes.readUInt16BE(at), (bytes, at) => bytes.readUInt16LE(at)],
  4: [(bytes, at) => bytes.readUInt32BE(at), (bytes, at) => bytes.readUInt32LE(at)],
  8: [(bytes, at) => exact(bytes.readBigUInt64BE(at)), (bytes, at) => exact(bytes.readBigUInt64LE(at))],
};

function exact(value: bigint): number | bigint {
  return value > Number.MAX_SAFE_INTEGER ? value : Number(value);
}

/** 64 bits are nine groups of seven bits, and one bit in a tenth byte. A padded form (0x80 0x00 for 0) is accepted. */
const LONGEST_VARINT = 10;

const varint: Header = {
  most: Number.MAX_SAFE_INTEGER,
  measure(bytes, at, end) {
    for (let size = 1; size <= LONGEST_VARINT && at + size <= end; size++) {
      const byte = bytes.readUInt8(at + size - 1);
      if (size === LONGEST_VARINT && byte > 1) throw new FrameInvalidError('a varint of more than 64 bits');
      if (byte < 0x80) return size;
    }
    return 0;
  },
  read(bytes, at, size) {
    if (size > 7) return exact(readBigVarint(bytes, at, size));
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 128 + (bytes.readUInt8(at + i) & 0x7f);
    return value;
  },
  sizeFor(value) {
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
    return size;
  },
  write(bytes, value) {
    let at = 0;
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 0x80;
    bytes[at] = rest;
  },
};

function readBigVarint(bytes: Buffer, at: number, size: number): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = value * 128n + BigInt(bytes.readUInt8(at + i) & 0x7f);
  return value;
}
