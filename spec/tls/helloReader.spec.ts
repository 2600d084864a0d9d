import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HelloReader } from '../../lib/tls/helloReader.ts';

/** A ClientHello of some length, in records of given lengths at most. */
function hello(length: number, recordLength: number): Uint8Array {
  const message = Buffer.alloc(4 + length, 7);
  message.writeUInt32BE(length, 0);
  message[0] = 1;
  const records: Uint8Array[] = [];
  for (let at = 0; at < message.length; at += recordLength) {
    const part = message.subarray(at, at + recordLength);
    records.push(Uint8Array.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

/** After how many bytes a reader is done that reads pieces of a length; `undefined` if it is not. */
function doneAfter(bytes: Uint8Array, pieceLength: number): number | undefined {
  const reader = new HelloReader();
  for (let at = 0; at < bytes.length; at += pieceLength) {
    if (reader.take(bytes.subarray(at, at + pieceLength))) return Math.min(at + pieceLength, bytes.length);
  }
  return undefined;
}

describe('the reader of a hello', () => {
  it('finds its end in records and pieces of any length', () => {
    const length = fc.integer({ min: 0, max: 3000 });
    const part = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 3100 }));
    fc.assert(
      fc.property(length, part, part, (size, recordLength, pieceLength) => {
        const bytes = hello(size, recordLength);
        expect(doneAfter(bytes, pieceLength)).toBe(bytes.length);
        expect(doneAfter(bytes.subarray(0, -1), pieceLength)).toBeUndefined();
      }),
    );
  });

  it.each([1, 1000, 70_000])('reads 64 KiB of one that is longer, in pieces of %i bytes', (pieceLength) => {
    const most = 64 * 1024;
    expect(doneAfter(hello(100_000, 16_384), pieceLength)).toBe(Math.ceil(most / pieceLength) * pieceLength);
  });

  it.each([
    ['another protocol', [71, 69, 84]],
    ['another message', [22, 3, 1, 0, 9, 2]],
    ['an empty record', [22, 3, 1, 0, 0]],
    ['a record that is too long', [22, 3, 1, 64, 1]],
  ])('leaves %s to OpenSSL', (_what, bytes) => {
    expect(doneAfter(Uint8Array.from(bytes), 1)).toBeLessThanOrEqual(bytes.length);
  });
});
