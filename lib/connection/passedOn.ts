/** One read of libuv has so many bytes at most. */
const SIZE = 64 * 1024;

let spare: Buffer | undefined;

/**
 * Passes a copy of a large chunk on, in a buffer that all connections share. A new buffer for each would be new memory each time:
 * it is freed by a garbage collection only, glibc returns it to the system then, and the next pages cost more than the copy.
 *
 * @param on Passes the copy on. @returns Whether nothing refers to it any more, and it may be overwritten.
 */
export function passCopy(chunk: Uint8Array, on: (copy: Buffer) => boolean): void {
  const buffer = chunk.length <= SIZE ? (spare ?? Buffer.allocUnsafeSlow(SIZE)) : Buffer.allocUnsafeSlow(chunk.length);
  // Nothing else may use it meanwhile: a call may lead to that of another connection.
  spare = undefined;
  buffer.set(chunk);
  const isDone = on(chunk.length === buffer.length ? buffer : buffer.subarray(0, chunk.length));
  if (isDone && buffer.length === SIZE) spare = buffer;
}
