import { map, type OperatorFunction } from 'rxjs';
import { Bytes, borrow, derive } from '../connection/bytes.ts';
import { callable, checkArgument } from '../options.ts';

/**
 * Maps each chunk of bytes where it lies: the buffer it was read into, which the next read overwrites. For whoever works
 * bytes off as they come, a checksum or a count, and would only throw a copy away.
 *
 * ```text
 * source                   --(3 bytes)--(5 bytes)--|
 * inPlace((c) => c.length) --3----------5----------|
 * ```
 *
 * It ends as its source does, and errors with what `project` throws.
 *
 * @param project From a chunk to a value. The chunk holds only during the call: what is kept of it must be copied.
 * @returns An operator from chunks of bytes, cut anywhere, to values.
 * @throws TypeError if `project` is no function.
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
