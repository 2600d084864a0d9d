import fc, { type Arbitrary } from 'fast-check';
import type { OperatorFunction } from 'rxjs';
import { delimited, encodeDelimited } from '../../lib/framing/delimited.ts';
import { encodeJson, json } from '../../lib/framing/json.ts';
import { encodeLengthPrefixed } from '../../lib/framing/lengthPrefix.ts';
import { lengthPrefixed } from '../../lib/framing/lengthPrefixed.ts';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import { SkippedFrame } from '../../lib/framing/skippedFrame.ts';

/** A format, with frames as they are sent and as they are expected to be decoded. */
export interface Example {
  readonly name: string;
  readonly decode: OperatorFunction<Uint8Array, unknown>;
  readonly sent: readonly Buffer[];
  readonly frames: readonly unknown[];
}

const text = fc.string({
  unit: fc.oneof(fc.constantFrom('a', '\r', 'é', '€', '😀', ' '), fc.string({ unit: 'binary' })),
});
const body = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

function example<T>(
  name: string,
  decode: OperatorFunction<Uint8Array, unknown>,
  frames: Arbitrary<T[]>,
  encode: (frame: T) => string | Uint8Array,
): Arbitrary<Example> {
  return frames.map((all) => ({ name, decode, frames: all, sent: all.map((frame) => Buffer.from(encode(frame))) }));
}

function encodes<T>(encode: (frame: T) => unknown) {
  return (frame: T): boolean => {
    try {
      encode(frame);
      return true;
    } catch {
      return false;
    }
  };
}

const many = <T>(frame: Arbitrary<T>): Arbitrary<T[]> => fc.array(frame, { maxLength: 40 });

const prefixes = fc.record({
  size: fc.constantFrom(2 as const, 4 as const, 8 as const, 'varint' as const),
  endian: fc.constantFrom('big' as const, 'little' as const),
  includesHeader: fc.boolean(),
});

/** A delimiter over few letters, so that frames are full of beginnings of it. */
const delimiters = fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 4 }).map((bytes) => Buffer.from(bytes));
const nearly = fc.array(fc.constantFrom(0, 1, 2), { maxLength: 30 }).map((bytes) => Buffer.from(bytes));

/** Any frames of any format, encoded by its encoder. */
export const examples: Arbitrary<Example> = fc.oneof(
  example('lines', lines(), many(text.filter(encodes(encodeLine))), encodeLine),
  example('json', json(), many(fc.jsonValue()), encodeJson).map((it) => ({
    ...it,
    // The value after a round trip through JSON: -0 becomes 0, for example.
    frames: it.frames.map((frame) => JSON.parse(JSON.stringify(frame))),
  })),
  delimiters.chain((delimiter) => {
    const encode = encodeDelimited(delimiter);
    return example('delimited', delimited(delimiter), many(fc.oneof(nearly, body).filter(encodes(encode))), encode);
  }),
  prefixes.chain((prefix) =>
    example('lengthPrefixed', lengthPrefixed(prefix), many(body), encodeLengthPrefixed(prefix)),
  ),
);

/** The `maxLength` of {@link skippingExamples}. */
export const LIMIT = 10;
const skip = { maxLength: LIMIT, tooLong: 'skip' } as const;

/** Lengths near the limit, and far above it. */
const lengths = fc.oneof(fc.integer({ min: LIMIT - 2, max: LIMIT + 3 }), fc.integer({ min: LIMIT, max: 400 }));
/** A frame of such a length: a short one again and again, so that it is full of beginnings of a delimiter. */
const large = fc
  .tuple(lengths, nearly)
  .map(([length, bytes]) => Buffer.alloc(length, bytes.length > 0 ? bytes : Buffer.of(2)));
const any = fc.oneof(nearly, large);

const sizeOf = (frame: unknown): number => Buffer.byteLength(Buffer.isBuffer(frame) ? frame : String(frame));

/** Expects the frames above the limit to be skipped. */
const skipping = (all: Arbitrary<Example>, size = sizeOf): Arbitrary<Example> =>
  all.map((it) => ({
    ...it,
    frames: it.frames.map((frame) => (size(frame) > LIMIT ? new SkippedFrame(size(frame), LIMIT) : frame)),
  }));

/** Frames of any format, of which many are longer than the limit. */
export const skippingExamples: Arbitrary<Example> = fc.oneof(
  fc.constantFrom('\n', '\r\n').chain((end) => {
    const texts = fc.oneof(text.filter(encodes(encodeLine)), any.map(String));
    return skipping(example('lines', lines(skip), many(texts), (line) => line + end));
  }),
  skipping(example('json', json(skip), many(fc.oneof(fc.nat(), text, any.map(String))), encodeJson), (frame) =>
    sizeOf(JSON.stringify(frame)),
  ),
  delimiters.chain((delimiter) => {
    const encode = encodeDelimited(delimiter);
    return skipping(example('delimited', delimited(delimiter, skip), many(any.filter(encodes(encode))), encode));
  }),
  prefixes.chain((prefix) => {
    const decode = lengthPrefixed({ ...prefix, ...skip });
    return skipping(example('lengthPrefixed', decode, many(any), encodeLengthPrefixed(prefix)));
  }),
);
