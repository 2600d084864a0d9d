import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { home } from '../support/page.ts';

/** A file of the page that needs no page. */
const { exact, readNumber } = await import(pathToFileURL(join(home, 'lib/admin/page/format.js')).href);

describe('a limit that is typed', () => {
  it('is read as the number that the page shows for it', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.boolean(), (value, isRate) => {
        expect(readNumber(exact(value), isRate)).toBe(value);
        expect(readNumber(` ${value} `, isRate)).toBe(value);
      }),
    );
  });

  it('may have decimals if it is a rate, and is refused if the point could group thousands', () => {
    fc.assert(
      fc.property(fc.nat(2_000_000), fc.stringMatching(/^\d{1,5}$/), (whole, decimals) => {
        const typed = `${whole}.${decimals}`;
        expect(() => readNumber(typed, false)).toThrow('is not clear');
        const isTwofold = whole > 0 && whole < 1000 && decimals.length === 3;
        if (isTwofold) expect(() => readNumber(typed, true)).toThrow('is not clear');
        else expect(readNumber(typed, true)).toBe(Number(typed));
      }),
      {
        examples: [
          [1, '000'],
          [0, '125'],
          [1000, '000'],
        ],
      },
    );
  });

  it('is digits, or nothing else', () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (typed, isRate) => {
        fc.pre(!/^\d+(\.\d+)?$/.test(typed.trim()));
        expect(() => readNumber(typed, isRate)).toThrow(/\.$/);
      }),
      {
        examples: ['1e2', '1,5', '1,0000', '0,100', '10,00', '1 000', '0x10', '+1', '-1', '', '.5', '5.'].map((one) => [
          one,
          true,
        ]),
      },
    );
  });

  it.each(['Infinity', '∞', 'infinity'])('is no limit for %s', (typed) =>
    expect(readNumber(typed, false)).toBe('Infinity'),
  );

  it('is refused if it is larger than numbers are exact', () => {
    expect(() => readNumber('9'.repeat(400), true)).toThrow('That is too large. Infinity is for no limit.');
  });
});
