import fc from 'fast-check';
import { from, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { BLOCK, LONGEST_LINE } from '../../../demos/smtp/content.ts';
import { LONGEST_COMMAND, SmtpDecoder } from '../../../demos/smtp/decoder.ts';
import type { BlockFrame, ContentFault, Frame } from '../../../demos/smtp/frame.ts';
import { frames } from '../../../lib/index.ts';
import { chop, chunkings } from '../../support/bytes.ts';

/** Decodes as a session would that accepts each DATA. */
function decode(chunks: readonly Buffer[], maxSize = 1e9): Frame[] {
  const dialog = { isInMessage: false };
  const decoded: Frame[] = [];
  from(chunks)
    .pipe(frames(() => new SmtpDecoder(dialog, maxSize)))
    .subscribe({
      next: (frame) => {
        decoded.push(frame);
        dialog.isInMessage = frame.type === 'block' ? !frame.isLast : frame.line === 'DATA';
      },
      error: () => undefined,
    });
  return decoded;
}

const everyByte = (bytes: Buffer): Buffer[] => chop(bytes, [1]);

interface Content {
  readonly bytes: string;
  readonly fault: ContentFault | undefined;
  readonly sizes: readonly number[];
}

/** The content of the only message among the frames; `undefined` if its end has not come. */
function contentOf(decoded: readonly Frame[]): Content | undefined {
  const blocks = decoded.filter((frame): frame is BlockFrame => frame.type === 'block');
  const last = blocks.at(-1);
  expect(blocks.map(({ index }) => index)).toEqual(blocks.map((_, i) => i));
  if (!last?.isLast) return undefined;
  return {
    bytes: Buffer.concat(blocks.map(({ bytes }) => bytes)).toString('latin1'),
    fault: last.fault,
    sizes: blocks.map(({ bytes }) => bytes.length),
  };
}

const lines = (decoded: readonly Frame[]) =>
  decoded.map((frame) => (frame.type === 'command' ? (frame.fault ?? frame.line) : frame.type));

/** As a client sends it. (RFC 5321, 4.5.2) */
const stuffed = (text: string): string => text.replace(/^\./gm, '..');

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Bytes among which the special ones are frequent. */
const soup = fc
  .array(fc.constantFrom('.', '\r', '\n', '\r\n', 'a', '\r\n.', '.\r\n'), { maxLength: 30 })
  .map((parts) => parts.join(''));

describe('the content of a message', () => {
  const text = fc
    .array(fc.oneof(fc.constantFrom('', '.', '..', '.a', 'a.', '. '), fc.string({ unit: 'grapheme-ascii' })), {
      maxLength: 20,
    })
    .map((all) => all.map((line) => `${line.replace(/[\r\n]/g, '')}\r\n`).join(''));

  it('is what the client had before it added dots, however it is cut', () => {
    fc.assert(
      fc.property(text, chunkings, (content, lengths) => {
        const wire = latin1(`DATA\r\n${stuffed(content)}.\r\nQUIT\r\n`);
        for (const chunks of [chop(wire, lengths), everyByte(wire)]) {
          const decoded = decode(chunks);
          expect(contentOf(decoded)).toMatchObject({ bytes: content, fault: undefined });
          expect(lines(decoded)).toEqual(['DATA', 'block', 'QUIT']);
        }
      }),
    );
  });

  it('ends at CR LF, dot, CR LF, and nowhere else, whatever it contains', () => {
    fc.assert(
      fc.property(soup, chunkings, (bytes, lengths) => {
        // The CR LF of DATA begins the first line, so its end may come at once.
        const end = `\r\n${bytes}`.indexOf('\r\n.\r\n');
        const wire = latin1(`DATA\r\n${bytes}`);
        const [one, other] = [decode(chop(wire, lengths)), decode(everyByte(wire))];
        expect(one).toEqual(other);
        expect(contentOf(one) === undefined).toBe(end < 0);
      }),
      { numRuns: 1000 },
    );
  });

  it('has a fault exactly if a CR or a LF is alone in it', () => {
    fc.assert(
      fc.property(soup, chunkings, (bytes, lengths) => {
        const content = /^(.*?\r\n)??\.\r\n/s.exec(bytes)?.[1];
        const decoded = contentOf(decode(chop(latin1(`DATA\r\n${bytes}\r\n.\r\n`), lengths)));
        const whole = content === undefined && !bytes.startsWith('.\r\n') ? `${bytes}\r\n` : (content ?? '');
        const isBroken = /(?<!\r)\n|\r(?!\n)/.test(whole);
        expect(decoded?.fault !== undefined).toBe(isBroken);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['LF . LF', 'a\n.\n', 'bare-lf'],
    ['CR LF . LF', 'a\r\n.\n', 'bare-lf'],
    ['LF . CR LF', 'a\n.\r\n', 'bare-lf'],
    ['CR . CR', 'a\r.\r', 'bare-cr'],
    ['CR LF . CR', 'a\r\n.\rx', 'bare-cr'],
    ['CR . CR LF', 'a\r.\r\n', 'bare-cr'],
    ['LF CR . CR LF', 'a\n\r.\r\n', 'bare-lf'],
    ['CR LF . CR CR LF', 'a\r\n.\r\r\n', 'bare-cr'],
    ['CR LF NUL . CR LF', 'a\r\n\0.\r\n', undefined],
  ])('does not end at %s, and the command behind it is content', (_, bytes, fault) => {
    const command = 'MAIL FROM:<smuggled@example.org>\r\n';
    const wire = latin1(`DATA\r\n${bytes}${command}`);
    for (const chunks of [[wire], everyByte(wire)]) {
      expect(lines(decode(chunks)).filter((line) => line !== 'block')).toEqual(['DATA']);
      const decoded = decode([...chunks, latin1('\r\n.\r\nNOOP\r\n')]);
      expect(lines(decoded)).toEqual(['DATA', 'block', 'NOOP']);
      expect(contentOf(decoded)?.fault).toBe(fault);
    }
  });

  it('is cut into blocks that do not depend on the reads', () => {
    const content = `${'x'.repeat(76)}\r\n`.repeat((2 * BLOCK) / 78 + 100);
    const wire = latin1(`DATA\r\n${content}.\r\n`);
    const sizes = [BLOCK, BLOCK, content.length - 2 * BLOCK];
    for (const size of [1000, 1460, 65_536, wire.length]) {
      expect(contentOf(decode(chop(wire, [size])))).toEqual({ bytes: content, fault: undefined, sizes });
    }
  });

  it('may be as large as the limit, without the dots that the client has added', () => {
    const content = '.a\r\n';
    const wire = latin1(`DATA\r\n${stuffed(content)}.\r\n`);
    expect(contentOf(decode([wire], 4))).toMatchObject({ bytes: content, fault: undefined });
    expect(contentOf(decode([wire], 3))).toMatchObject({ bytes: '', fault: 'size' });
  });

  it('may have lines as long as the limit', () => {
    const line = (length: number) => `${'x'.repeat(length)}\r\n`;
    const faultOf = (text: string) => contentOf(decode([latin1(`DATA\r\n${text}.\r\n`)]))?.fault;
    expect(faultOf(line(LONGEST_LINE).repeat(3))).toBeUndefined();
    expect(faultOf(`..${line(LONGEST_LINE - 1)}`)).toBeUndefined();
    expect(faultOf(line(LONGEST_LINE + 1))).toBe('long-line');
  });

  it('is held in memory up to a block, and not at all behind a fault', () => {
    const dialog = { isInMessage: true };
    const decoder = new SmtpDecoder(dialog, 100_000);
    const feed = (text: string) => {
      const input = { bytes: latin1(text), at: 0 };
      while (typeof decoder.decode(input) !== 'symbol');
      expect(input.at).toBe(text.length);
      return decoder.memory;
    };
    expect(feed('a')).toBeLessThan(1024);
    for (let i = 0; i < 1000; i++) expect(feed(`${'x'.repeat(70)}\r\n`)).toBeLessThanOrEqual(BLOCK);
    expect(feed(`${'x'.repeat(70)}\r\n`.repeat(1000))).toBe(0);
    expect(decoder.buffered).toBe(1);
  });
});

describe('a command line', () => {
  const line = fc.string({ unit: 'grapheme-ascii', maxLength: 40 }).filter((text) => text !== 'DATA');

  it('is decoded however it is cut', () => {
    fc.assert(
      fc.property(fc.array(line), chunkings, (all, lengths) => {
        const wire = latin1(all.map((one) => `${one}\r\n`).join(''));
        expect(lines(decode(chop(wire, lengths)))).toEqual(all);
        expect(lines(decode(everyByte(wire)))).toEqual(all);
      }),
    );
  });

  it('has a fault if it is too long, has control characters, or ends with LF alone; the next line has none', () => {
    const longest = 'x'.repeat(LONGEST_COMMAND - 2);
    const wire = `${longest}\r\n${longest}y\r\n${'z'.repeat(9999)}\r\nNOOP\n\nNO\rOP\r\nNO\0OP\r\nN\tP\r\n\r\nNOOP\r\n`;
    for (const chunks of [[latin1(wire)], everyByte(latin1(wire))]) {
      expect(lines(decode(chunks))).toEqual([
        longest,
        'too-long',
        'too-long',
        'bare-lf',
        'bare-lf',
        'bytes',
        'bytes',
        'N\tP',
        '',
        'NOOP',
      ]);
    }
  });

  it('may be in UTF-8, and in no other encoding', () => {
    const wire = Buffer.concat([Buffer.from('RCPT TO:<jürgen@example.org>\r\n'), latin1('RCPT TO:<jürgen>\r\n')]);
    expect(lines(decode(everyByte(wire)))).toEqual(['RCPT TO:<jürgen@example.org>', 'bytes']);
  });

  it('that never ends takes no memory beyond the limit', () => {
    const decoder = new SmtpDecoder({ isInMessage: false }, 1);
    for (let i = 0; i < 100; i++) {
      decoder.decode({ bytes: Buffer.alloc(500, 'x'), at: 0 });
      expect(decoder.memory).toBeLessThanOrEqual(LONGEST_COMMAND);
      expect(decoder.buffered).toBeGreaterThan(0);
    }
  });
});

it('an input that ends within a message, or within a line, is truncated', () => {
  for (const text of ['DATA\r\na\r\n', 'DATA\r\n', 'NOO', 'x'.repeat(1000)]) {
    const dialog = { isInMessage: text.startsWith('DATA') };
    const bytes = latin1(dialog.isInMessage ? text.slice(6) : text);
    const errors: unknown[] = [];
    from([bytes])
      .pipe(
        frames(() => new SmtpDecoder(dialog, 100)),
        toArray(),
      )
      .subscribe({ error: (error: Error) => errors.push(error.name) });
    expect(errors).toEqual(['FrameTruncatedError']);
  }
});
