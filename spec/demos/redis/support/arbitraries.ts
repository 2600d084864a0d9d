import fc from 'fast-check';

/** Strings of any bytes, with one character for each byte. */
export const byteString = (maxLength = 30): fc.Arbitrary<string> =>
  fc.oneof(
    fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength }),
    fc.constantFrom('', '\r\n', '$3\r\n', '*1\r\n', '\0'),
  );
