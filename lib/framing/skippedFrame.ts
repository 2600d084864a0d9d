/**
 * A frame that was longer than `maxLength` and was skipped, in its place among the other frames. A framing operator emits it with
 * `tooLong: 'skip'`, when the frame has ended. `instanceof` tells it from a frame.
 *
 * @example
 * ```ts
 * const answer = (line: string | SkippedFrame) =>
 *   line instanceof SkippedFrame ? `error: ${line.length} bytes, at most ${line.limit} allowed\n` : encodeLine(line);
 *
 * serve({ port: 7000 }, exchange(lines({ tooLong: 'skip' }), answer)).subscribe();
 * ```
 */
export class SkippedFrame {
  /** The length of the whole frame, in bytes, measured as the limit is: without its delimiter or header. */
  readonly length: number;
  /** The limit, in bytes. */
  readonly limit: number;

  constructor(length: number, limit: number) {
    this.length = length;
    this.limit = limit;
  }
}
