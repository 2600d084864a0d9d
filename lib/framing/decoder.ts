/** What a {@link Decoder} answers when all input is taken and no further frame has ended in it. */
export const PENDING: unique symbol = Symbol('pending');
/** What a {@link Decoder} answers for a frame that carries no value, such as a blank line between two JSON values. */
export const BLANK: unique symbol = Symbol('blank');

/** The input in front of a {@link Decoder}: `bytes` from `at` on. The bytes are borrowed, the decoder moves `at`. */
export interface Input {
  readonly bytes: Buffer;
  at: number;
}

/**
 * A format: how one frame after the other is cut out of bytes. One decoder serves one subscription; all that has to do
 * with connections, time and RxJS is the loop's, so a format of your own is this one small class.
 */
export interface Decoder<T> {
  /**
   * How many bytes have come of a frame whose end has not: 0 between two frames.
   *
   * A request of several frames, such as a message of SMTP read line by line, may count as pending until its last frame:
   * more than 0 between its frames as well. Only 0 is a boundary. A drain completes the input at the next one, and if the
   * input ends before it, `end` is called. A {@link BLANK} alone is no boundary.
   */
  readonly buffered: number;
  /**
   * Bytes of memory that the decoder holds from one call of `cut` to the next; a server's `budget` counts them. Bytes that
   * are only announced, or skipped as they come, are not held.
   * @default pending
   */
  readonly memory?: number;
  /**
   * Cuts the next frame and moves `input.at` behind what it has taken. Answers {@link PENDING} only when it has taken
   * all, with a copy of whatever it still needs. A frame must not share memory with the input.
   * @throws FrameTooLongError, FrameInvalidError: the input ends with that error.
   */
  decode(input: Input): T | typeof PENDING | typeof BLANK;
  /**
   * The input ended while bytes were pending: the last frame, if the format can do without its end.
   * @throws FrameTruncatedError, if it cannot.
   */
  decodeEof(): T | typeof BLANK;
}
