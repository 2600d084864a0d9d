import { from, map, type OperatorFunction, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { FrameInvalidError, FrameTooLongError, FrameTruncatedError } from '../../lib/errors.ts';
import { encodeJson, type JsonOptions, json } from '../../lib/framing/json.ts';
import { lines } from '../../lib/framing/lines.ts';
import { Borrowed } from '../support/borrowed.ts';
import { watch } from '../support/bytes.ts';
import { marbles } from '../support/marbles.ts';

const read = (chunks: readonly string[], options?: JsonOptions) =>
  watch(from(chunks.map((chunk) => Buffer.from(chunk))).pipe(json(options)));

describe('json', () => {
  it(
    'decodes a value from each line, and none from a blank one',
    marbles(({ hot, expectObservable }) => {
      const source = hot('  --a----b------|', { a: '{"a":', b: '1}\n\n[2]\n' });
      const expected = '    -------(xy)---|';
      expectObservable(
        source.pipe(
          map((text) => Buffer.from(text)),
          json(),
        ),
      ).toBe(expected, { x: { a: 1 }, y: [2] });
    }),
  );

  it('decodes every kind of value', () => {
    const values = [null, true, 0, '', 'a\nb', [], {}, { a: [null] }];
    expect(read([values.map(encodeJson).join('')])).toEqual({ values, completed: true });
  });

  it('skips blank lines of any kind', () => {
    expect(read(['\n\r\n \t\n1\n \n'])).toEqual({ values: [1], completed: true });
  });

  it('errors at a line that is not JSON, after the values before it, with the SyntaxError as the cause', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(json()));
    peer.push(Buffer.from('1\n{a}\n2\n'));
    expect(seen.values).toEqual([1]);
    expect(seen.error).toBeInstanceOf(FrameInvalidError);
    expect(seen.error).toMatchObject({ cause: expect.any(SyntaxError) });
    expect(String(seen.error)).toContain('the line is not JSON');
    expect(peer.control.closedAs).toEqual([seen.error]);
  });

  it('has the options of lines', () => {
    expect(read(['12345'], { maxLength: 4 }).error).toEqual(new FrameTooLongError(4, 5));
    expect(read(['1\n2']).error).toEqual(new FrameTruncatedError(1));
    expect(read(['1\n2'], { unterminated: 'emit' })).toEqual({ values: [1, 2], completed: true });
    expect(read(['1\n '], { unterminated: 'emit' })).toEqual({ values: [1], completed: true });
    expect(read(['1\n{'], { unterminated: 'emit' }).error).toBeInstanceOf(FrameInvalidError);
    expect(() => json({ reviver: 1 } as JsonOptions)).toThrow(TypeError);
  });

  it('counts as buffered what the decoder of lines has in memory', () => {
    const buffered = [json(), lines()].map((decode: OperatorFunction<Uint8Array, unknown>) => {
      const peer = new Borrowed();
      peer.pipe(decode).subscribe(() => {
        peer.control.isPaused = true;
      });
      peer.push(Buffer.from('1\n2\n3\n'));
      return peer.control.buffered;
    });
    expect(buffered[0]).toBeGreaterThan(0);
    expect(buffered[0]).toBe(buffered[1]);
  });

  it('completes after a blank line that had begun when the server drained', () => {
    const peer = new Borrowed();
    const seen = watch(peer.pipe(json()));
    peer.push(Buffer.from(' '));
    peer.drain();
    peer.push(Buffer.from('\n1\n'));
    expect(seen).toEqual({ values: [], completed: true });
  });
});

describe('encodeJson', () => {
  it('writes one line for each value', () => {
    expect(watch(of({ a: 'x\ny' }, null).pipe(map(encodeJson))).values).toEqual(['{"a":"x\\ny"}\n', 'null\n']);
  });

  it('throws for a value that has no JSON form', () => {
    const circle: unknown[] = [];
    circle.push(circle);
    for (const value of [undefined, () => 1, Symbol('s'), 1n, circle]) {
      expect(() => encodeJson(value)).toThrow(FrameInvalidError);
      expect(() => encodeJson(value)).toThrow('the value has no JSON form');
    }
  });
});
