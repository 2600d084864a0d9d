import { bytesOf } from './support.ts';

/** A request of the binary protocol. */
export interface Packet {
  opcode: number;
  extras?: Uint8Array;
  key?: string;
  value?: string;
  opaque?: number;
  cas?: number;
}

/** A request as it is sent. */
export function packet({
  opcode,
  extras = new Uint8Array(),
  key = '',
  value = '',
  opaque = 7,
  cas = 0,
}: Packet): Buffer {
  const header = Buffer.alloc(24);
  header[0] = 0x80;
  header[1] = opcode;
  header.writeUInt16BE(key.length, 2);
  header[4] = extras.length;
  header.writeUInt32BE(extras.length + key.length + value.length, 8);
  header.writeUInt32BE(opaque, 12);
  header.writeBigUInt64BE(BigInt(cas), 16);
  return Buffer.concat([header, extras, bytesOf(key), bytesOf(value)]);
}

/** Opcode, status, cas id, extras in hexadecimal, key and value of each reply, one after the other. */
export function replies(text: string, opaque = 7) {
  const bytes = bytesOf(text);
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const [keyLength, extras, status] = [bytes.readUInt16BE(at + 2), bytes[at + 4] ?? 0, bytes.readUInt16BE(at + 6)];
    const end = at + 24 + bytes.readUInt32BE(at + 8);
    if (bytes[at] !== 0x81 || bytes.readUInt32BE(at + 12) !== opaque) throw new Error(`no reply at byte ${at}`);
    found.push({
      opcode: bytes[at + 1],
      status,
      cas: Number(bytes.readBigUInt64BE(at + 16)),
      extras: bytes.toString('hex', at + 24, at + 24 + extras),
      key: bytes.toString('latin1', at + 24 + extras, at + 24 + extras + keyLength),
      value: bytes.toString('latin1', at + 24 + extras + keyLength, end),
    });
    at = end;
  }
  return found;
}

/** The extras of an increment or decrement: the delta, the initial value, and the expiry time. */
export function numbers(delta: number, initial: number, exptime = 0): Buffer {
  const extras = Buffer.alloc(20);
  extras.writeBigUInt64BE(BigInt(delta), 0);
  extras.writeBigUInt64BE(BigInt(initial), 8);
  extras.writeUInt32BE(exptime, 16);
  return extras;
}

/** The extras of a set: the flags 5, and no expiry time. */
export const stored = Buffer.from('0000000500000000', 'hex');
