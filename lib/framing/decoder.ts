/** A {@link Decoder} returns it when it has consumed all input, and no further frame has ended in it. */
export const PENDING: unique symbol = Symbol('pending');
/** A {@link Decoder} returns it for a frame that has no value, such as a blank line between two JSON values. */
export const BLANK: unique symbol = Symbol('blank');

/** The input of a {@link Decoder}: `bytes` from `at` on. The bytes are borrowed; the decoder moves `at`. */
export interface Input {
  /** The bytes that have arrived. They are overwritten after the call. */
  readonly bytes: Buffer;
  /** How many of them are consumed: the decoder begins there, and moves it. */
  at: number;
}

/**
 * A format: decodes one frame after the other. A decoder serves one subscription. Everything that concerns the connection, time
 * and RxJS is done by the frame loop, so a format of your own is one small class. DECODERS.md shows one.
 */
export interface Decoder<T> {
  /**
   * How many bytes of an unfinished frame have arrived: 0 between two frames.
   *
   * In a request of several frames, such as a message of SMTP that is read line by line, it may stay above 0 between those
   * frames. Only 0 is a frame boundary. A drain completes the input at the next boundary. If the input ends before it,
   * `decodeEof` is called. A {@link BLANK} by itself is not a boundary.
   */
  readonly buffered: number;
  /**
   * Bytes of memory that the decoder holds from one call of `decode` to the next; the `budget` of a server counts them. Bytes
   * that are only announced, or that are skipped as they arrive, are not held.
   * @default buffered
   */
  readonly memory?: number;
  /**
   * Decodes the next frame and moves `input.at` behind the bytes that it has consumed. It returns {@link PENDING} only when it
   * has consumed all of them; then it holds a copy of those that it still needs. A frame must not share memory with the input.
   * @throws FrameTooLongError, FrameInvalidError: the input ends with that error.
   */
  decode(input: Input): T | typeof PENDING | typeof BLANK;
  /**
   * Decodes and returns the last frame, when the input has ended while `buffered` was above 0. Not every format can: a frame whose end is
   * missing may be a truncated one.
   * @throws FrameTruncatedError, if it cannot.
   */
  decodeEof(): T | typeof BLANK;
}
