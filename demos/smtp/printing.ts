import type { Arriving, Store } from './store.ts';

/** A message as it is printed. */
export interface Printed extends Arriving {
  /** Bytes of the content. */
  readonly size: number;
  /** The content from its start, as much as is kept of it. */
  readonly content: string;
}

/**
 * Prints messages and stores none, for tries.
 *
 * @param print Called with each message.
 * @param most Bytes of its content that are kept and printed; the rest is only counted.
 */
export const printing = (print: (message: Printed) => void, most: number): Store => ({
  begin: async (message) => {
    const pieces: Uint8Array[] = [];
    let size = 0;
    return {
      write: async (bytes) => {
        if (size < most) pieces.push(bytes.subarray(0, most - size));
        size += bytes.length;
      },
      commit: async () => print({ ...message, size, content: Buffer.concat(pieces).toString() }),
      abort: async () => undefined,
    };
  },
});
