import {
  catchError,
  concat,
  EMPTY,
  filter,
  finalize,
  map,
  merge,
  type Observable,
  of,
  Subject,
  switchMap,
  takeUntil,
  tap,
  throwError,
  timer,
} from 'rxjs';
import { exchange, type Handler, lines } from '../../lib/index.ts';
import { reason } from '../support/reason.ts';
import { BadReadingError, parseReading, type Reading } from './reading.ts';

/** How often a device that is held back is told so, in milliseconds. It also keeps the connection from being idle. */
const REMIND = 2000;

/** Where readings go, and what becomes of them. */
export interface Sink {
  /** Emits and completes when the reading is stored. */
  store(reading: Reading): Observable<unknown>;
  /** Why readings have to wait; `undefined` while they do not. */
  readonly trouble: Observable<string | undefined>;
  /** A line was refused. */
  refused(error: BadReadingError): void;
}

export interface ConverseOptions {
  /** Readings of one device that are on their way to the store at once. @default 64 */
  readonly inFlight?: number;
  /** The longest line, in bytes. @default 1024 */
  readonly maxLine?: number;
}

/**
 * The conversation with a device, or with a gateway of many.
 *
 * ```text
 * device   {"device":"d1","seq":7,"at":1767225600000,"value":21.5}
 * server   ack 7                          it is stored: forget it
 * server   error 8 value must be …        it will never be: do not send it again ("-" in place of a seq that was not seen)
 * server   wait the store is slow         it is not stored yet: keep it; said again until it is
 * ```
 *
 * Each line gets one `ack` or `error`, in the order of the lines; a `wait` may come at any time. At most `inFlight` readings
 * are on their way to the store, and no more is read from the device until one of them is stored: its writes block, as
 * TCP's do. Readings that are on their way are stored also if the device breaks off: it will send them again, to learn that.
 *
 * A line that is not JSON gets its `error` and nothing more: a device that sends its readings until they are acknowledged would
 * come back with it for ever if that ended the connection. A line that is too long, or ends without its newline, does end it.
 */
export function converse(sink: Sink, options: ConverseOptions = {}): Handler {
  const { inFlight = 64, maxLine = 1024 } = options;
  return (connection) => {
    let pending = 0;
    const over = new Subject<void>();

    const take = (line: string): string | Observable<string> => {
      let reading: Reading;
      try {
        reading = parseReading(line);
      } catch (error) {
        if (!(error instanceof BadReadingError)) throw error;
        sink.refused(error);
        return `error ${error.seq ?? '-'} ${error.message}\n`;
      }
      pending++;
      const stored = `ack ${reading.seq}\n`;
      return sink.store(reading).pipe(
        map(() => stored),
        finalize(() => pending--),
      );
    };
    const answers = exchange(lines({ maxLength: maxLine }), take, {
      concurrency: inFlight,
      // A store may be slow for as long as it likes: the device is told to wait.
      timeout: Number.POSITIVE_INFINITY,
    })(connection);
    const waits = sink.trouble.pipe(
      switchMap((trouble) => (trouble === undefined ? EMPTY : timer(0, REMIND).pipe(map(() => trouble)))),
      filter(() => pending > 0),
      map((trouble) => `wait ${trouble}\n`),
    );
    return merge(
      answers.pipe(
        tap({ finalize: () => over.next() }),
        catchError((error) =>
          concat(
            of(`error - ${reason(error)}\n`),
            throwError(() => error),
          ),
        ),
      ),
      waits.pipe(takeUntil(over)),
    );
  };
}
