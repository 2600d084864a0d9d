import { Int32Histogram } from 'hdr-histogram-js';

/** A line that differs from the reply that was due. */
export interface Fault {
  connection: number;
  /** The sequence number of the reply that was due. */
  due: number;
  /** The reply that was due, or `undefined` if none was. */
  expected: string | undefined;
  received: string;
}

/**
 * The counters of a run. Every request has exactly one outcome:
 * `sent = answered + wrong + lost + unanswered.fin + unanswered.reset`, once the run is over.
 */
export class Tally {
  /** Requests sent. */
  sent = 0;
  /** Replies that were identical to their request, and in order. */
  answered = 0;
  /** Requests whose reply was different. */
  wrong = 0;
  /** Requests whose reply was skipped, or missing when the grace was over, on a connection without errors. */
  lost = 0;
  /** Requests without a reply when the server ended the connection, by how it ended. */
  readonly unanswered = { fin: 0, reset: 0 };
  /** Lines that answer no request: sent twice, out of order, or unasked for. */
  unexpected = 0;
  /** Bytes received. */
  received = 0;
  /** How connections ended: by us, by the server's FIN, by a reset, or not at all within the grace. */
  readonly endings = { client: 0, fin: 0, reset: 0, open: 0 };
  /** Connections that could not be opened, by the code of the error. */
  readonly refused = new Map<string, number>();
  /** Latency of each correct reply, in whole microseconds. */
  readonly latency = new Int32Histogram(1, LONGEST, 3);
  /** Arrival of the last correct reply, on the clock of `performance.now()`. */
  lastReplyAt = 0;
  /** Called with each wrong or unexpected line, before it is counted. */
  onFault: (fault: Fault) => void = () => {};

  /** Counts correct replies to requests that were sent at the same time and answered at the same time. */
  reply(count: number, sentAt: number, now: number): void {
    this.answered += count;
    this.lastReplyAt = now;
    const micros = Math.min(Math.max(Math.round((now - sentAt) * 1000), 1), LONGEST);
    this.latency.recordValueWithCount(micros, count);
  }
}

/** Longest latency that the histogram can record, in microseconds: 35 minutes. Longer ones count as this. */
const LONGEST = 2 ** 31 - 1;
