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
import { exchange, type Handler, lines, SkippedFrame } from '../../lib/index.ts';
import { reason } from '../support/reason.ts';
import { BadReadingError, parseReading, type Reading } from './reading.ts';

/** Period of the `wait` lines, in milliseconds. It is short enough that a waiting connection never becomes idle. */
const REMIND = 2000;

/** The destination of readings. */
export interface Sink {
  /** Emits and completes when the reading is stored. */
  store(reading: Reading): Observable<unknown>;
  /** Why readings have to wait; `undefined` while they do not. */
  readonly trouble: Observable<string | undefined>;
  /** Called for each line that is not a reading. */
  refused(error: BadReadingError): void;
}

export interface ConverseOptions {
  /** Readings of one connection that are being stored at once. @default 64 */
  readonly inFlight?: number;
  /** The longest line, in bytes. @default 1024 */
  readonly maxLine?: number;
}

/**
 * The conversation with a device, or with a gateway of many devices.
 *
 * ```text
 * device   {"device":"d1","seq":7,"at":1767225600000,"value":21.5}
 * server   ack 7                          it is stored: drop it
 * server   error 8 value must be …        it is invalid: do not send it again ("-" if the line has no readable seq)
 * server   wait the store is slow         it is not stored yet: keep it; repeated until it is stored
 * ```
 *
 * Each line is answered by one `ack` or `error`, in the order of the lines; a `wait` may be sent at any time. At most `inFlight`
 * readings are being stored, and input pauses until one of them is stored: then TCP backpressure blocks the device's writes.
 * Readings that are being stored are stored even if the device disconnects; it sends them again, and they are acknowledged.
 *
 * A line that is not JSON, or is too long, is answered by an `error`, and the conversation continues. A device repeats its readings
 * until they are acknowledged, so if this closed the connection, the device would reconnect and send the same line forever. A
 * line that ends without its newline closes the connection.
 */
export function converse(sink: Sink, options: ConverseOptions = {}): Handler {
  const { inFlight = 64, maxLine = 1024 } = options;
  return (connection) => {
    let pending = 0;
    const over = new Subject<void>();

    const refuse = (error: BadReadingError): string => {
      sink.refused(error);
      return `error ${error.seq ?? '-'} ${error.message}\n`;
    };
    const take = (line: string | SkippedFrame): string | Observable<string> => {
      if (line instanceof SkippedFrame)
        return refuse(new BadReadingError(`the line has ${line.length} bytes, at most ${line.limit} allowed`));
      let reading: Reading;
      try {
        reading = parseReading(line);
      } catch (error) {
        if (error instanceof BadReadingError) return refuse(error);
        throw error;
      }
      pending++;
      const stored = `ack ${reading.seq}\n`;
      return sink.store(reading).pipe(
        map(() => stored),
        finalize(() => pending--),
      );
    };
    const answers = exchange(lines({ maxLength: maxLine, tooLong: 'skip' }), take, {
      concurrency: inFlight,
      // No deadline for a reply: however slow the store is, the device receives `wait` lines.
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
