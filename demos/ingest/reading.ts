/** One measurement of one device. Its key is `device` and `seq`: sent twice, it is the same reading. */
export interface Reading {
  /** 1 to 64 letters, digits, `_` and `-`, so that it can be part of a NATS subject unchanged. */
  readonly device: string;
  /** Chosen by the device, 0 or more, and unique among its readings. */
  readonly seq: number;
  /** Time of the measurement, in milliseconds since 1970. */
  readonly at: number;
  readonly value: number;
}

/** The line is not a reading. The message is sent to the device. */
export class BadReadingError extends Error {
  override readonly name = 'BadReadingError';
  /** The `seq` of the line, if it has one that could be read. */
  readonly seq: number | undefined;

  constructor(message: string, seq?: number, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.seq = seq;
  }
}

const FIELDS = ['device', 'seq', 'at', 'value'];
const DEVICE = /^[\w-]{1,64}$/;

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/**
 * Parses one line of a device.
 *
 * An unknown field is an error: the field would not be stored, so acknowledging the line would be wrong.
 *
 * @throws BadReadingError for anything that is not exactly a reading.
 */
export function parseReading(line: string): Reading {
  let given: unknown;
  try {
    given = JSON.parse(line);
  } catch (cause) {
    throw new BadReadingError('the line is not JSON', undefined, cause);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new BadReadingError('a reading is an object: {"device", "seq", "at", "value"}');

  const { device, seq, at, value } = given as Record<string, unknown>;
  if (!isWhole(seq)) throw new BadReadingError('seq must be a whole number from 0 to 2^53 - 1');
  const bad = (message: string) => new BadReadingError(message, seq);
  if (typeof device !== 'string' || !DEVICE.test(device))
    throw bad('device must be 1 to 64 letters, digits, underscores and hyphens');
  if (!isWhole(at)) throw bad('at must be whole milliseconds since 1970');
  if (typeof value !== 'number' || !Number.isFinite(value)) throw bad('value must be a finite number');
  const unknown = Object.keys(given).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw bad(`a reading has no field ${JSON.stringify(unknown.slice(0, 64))}`);
  return { device, seq, at, value };
}
