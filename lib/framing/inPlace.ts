import { map, type OperatorFunction } from 'rxjs';
import { Bytes, borrow, derive } from '../connection/bytes.ts';
import { callable, checkArgument } from '../options.ts';

/**
 * Maps each chunk of bytes in place, in the buffer into which it was read and which the next read overwrites. Use it to process
 * bytes as they arrive, for a checksum or a count: a copy would only be thrown away.
 *
 * ```text
 * source                   --(3 bytes)--(5 bytes)--|
 * inPlace((c) => c.length) --3----------5----------|
 * ```
 *
 * It ends as its source does, and errors with what `project` throws.
 *
 * @example
 * ```ts
 * const measure = (client: Connection) =>
 *   client.pipe(
 *     inPlace((chunk) => chunk.length),
 *     reduce((sum, length) => sum + length, 0),
 *     map((sum) => `${sum} bytes\n`),
 *   );
 *
 * serve({ port: 7000 }, measure).subscribe();
 * ```
 *
 * @param project From a chunk to a value. The chunk is valid only during the call; bytes that are kept must be copied.
 * @returns An operator from chunks of bytes, of any size, to values.
 * @throws TypeError if `project` is not a function.
 */
export function inPlace<T>(project: (chunk: Uint8Array) => T): OperatorFunction<Uint8Array, T> {
  checkArgument('read in place', 'project', project, callable);
  return (source) => {
    if (!(source instanceof Bytes)) return source.pipe(map((chunk) => project(chunk)));
    return derive(source, (subscriber) =>
      borrow(source, {
        next(chunk) {
          let value: T;
          try {
            value = project(chunk);
          } catch (error) {
            subscriber.error(error);
            return;
          }
          subscriber.next(value);
        },
        error: (error) => subscriber.error(error),
        complete: () => subscriber.complete(),
      }),
    );
  };
}
