import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { glob } from '../../../demos/redis/glob.ts';

/** The definition of a pattern, with recursion; far too slow for a server. */
function reference(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*') {
    return reference(pattern.slice(1), text) || (text !== '' && reference(pattern, text.slice(1)));
  }
  if (text === '') return false;
  if (pattern[0] === '?') return reference(pattern.slice(1), text.slice(1));
  if (pattern[0] === '\\' && pattern.length > 1)
    return pattern[1] === text[0] && reference(pattern.slice(2), text.slice(1));
  if (pattern[0] === '[') {
    const { fits, rest } = readClass(pattern.slice(1), text[0] ?? '');
    return fits && reference(rest, text.slice(1));
  }
  return pattern[0] === text[0] && reference(pattern.slice(1), text.slice(1));
}

function readClass(pattern: string, char: string): { fits: boolean; rest: string } {
  const negated = pattern[0] === '^';
  let rest = negated ? pattern.slice(1) : pattern;
  let fits = false;
  while (rest !== '' && rest[0] !== ']') {
    if (rest[0] === '\\' && rest.length > 1) {
      fits ||= rest[1] === char;
      rest = rest.slice(2);
    } else if (rest[1] === '-' && rest.length > 2) {
      const [low = '', high = ''] = [rest[0] ?? '', rest[2] ?? ''].sort();
      fits ||= low <= char && char <= high;
      rest = rest.slice(3);
    } else {
      fits ||= rest[0] === char;
      rest = rest.slice(1);
    }
  }
  return { fits: fits !== negated, rest: rest.slice(1) };
}

describe('glob', () => {
  it.each([
    ['', '', true],
    ['*', '', true],
    ['h?llo', 'hello', true],
    ['h?llo', 'hllo', false],
    ['h*llo', 'heeello', true],
    ['h[ae]llo', 'hillo', false],
    ['h[^e]llo', 'hallo', true],
    ['h[b-a]llo', 'hallo', true],
    ['h\\*', 'h*', true],
    ['h\\*', 'ha', false],
    ['[a', 'a', true],
    ['[', 'a', false],
    ['a\\', 'a\\', true],
    ['*\xff', '\0\r\n\xff', true],
  ])('%j on %j is %s', (pattern, text, expected) => {
    expect(glob(pattern)(text)).toBe(expected);
  });

  it('matches as the recursive definition does', () => {
    const pattern = fc.string({
      unit: fc.constantFrom('a', 'b', 'c', '*', '?', '[', ']', '^', '-', '\\'),
      maxLength: 10,
    });
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '-', ']', '\\'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (p, t) => {
        expect(glob(p)(t)).toBe(reference(p, t));
      }),
      { numRuns: 5000 },
    );
  });

  it('ends quickly for patterns for which a recursive matcher takes exponential time', () => {
    const started = performance.now();
    expect(glob(`${'a*'.repeat(1000)}b`)('a'.repeat(10_000))).toBe(false);
    expect(glob(`${'*a'.repeat(200)}b`)('a'.repeat(20_000))).toBe(false);
    // A matcher that compares character by character takes longer the longer the part is that does not match.
    const long = 'a'.repeat(200_000);
    expect(glob(`*${'a'.repeat(20_000)}b`)(long)).toBe(false);
    expect(glob(`*b${'a'.repeat(20_000)}*`)(long)).toBe(false);
    expect(glob(`*${'a'.repeat(20_000)}`)(long)).toBe(true);
    expect(glob(`*${'a'.repeat(20_000)}`)(`${long}b`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
