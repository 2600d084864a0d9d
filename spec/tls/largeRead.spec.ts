import { describe, expect, it } from 'vitest';
import { LargeRead } from '../../lib/tls/largeRead.ts';
import { iteration } from '../support/clock.ts';

const RECORD = 16_384;
const record = (byte: number) => new Uint8Array(RECORD).fill(byte);
const nothing = () => {};

describe('a large read', () => {
  it.each([0, 1, RECORD - 1, RECORD + 1])('does not begin with %i bytes', (length) => {
    expect(LargeRead.begin(new Uint8Array(length), nothing, undefined)).toBeUndefined();
  });

  it('is passed on with the last part of a message', () => {
    const read = LargeRead.begin(record(1), nothing, undefined);
    expect(read?.add(record(2))).toBe(false);
    expect(read?.add(new Uint8Array([3]))).toBe(true);
    expect(Buffer.from(read?.bytes ?? []).equals(Buffer.concat([record(1), record(2), new Uint8Array([3])]))).toBe(
      true,
    );
    read?.release();
  });

  it('is passed on when it has 64 KiB', () => {
    const read = LargeRead.begin(record(1), nothing, undefined);
    expect([2, 3, 4].map((byte) => read?.add(record(byte)))).toEqual([false, false, true]);
    expect(read?.bytes).toHaveLength(4 * RECORD);
    read?.release();
  });

  it('calls back in the check phase', async () => {
    const called: string[] = [];
    const read = LargeRead.begin(record(1), (on) => called.push(on), 'it');
    expect(called).toEqual([]);
    await iteration();
    expect(called).toEqual(['it']);
    read?.release();
  });

  it('has one of 16 buffers, which are used again', () => {
    const reads = Array.from({ length: 16 }, (_, n) => LargeRead.begin(record(n), nothing, undefined));
    expect(reads).not.toContain(undefined);
    expect(LargeRead.begin(record(0), nothing, undefined)).toBeUndefined();
    // No two share a buffer.
    expect(reads.map((read) => read?.bytes[0])).toEqual(reads.map((_, n) => n));
    for (const read of reads) read?.release();
    const next = LargeRead.begin(record(1), nothing, undefined);
    expect(next).toBeDefined();
    next?.release();
  });
});
