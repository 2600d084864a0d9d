import type { ByteString } from './reply.ts';

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };
/** An unquoted part, a quoted one, or the spaces between two arguments. Each match starts where the last one ended. */
const piece = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\'|\\(?!'))*)'|([ \n\r\t\v\f\0]+)|([^ \n\r\t\v\f\0"']+)/gsy;

/**
 * Splits a line that a person typed into arguments, with quotes as in `SET greeting "hello\r\n"`.
 *
 * @returns The arguments, or `undefined` if the quotes are not balanced. A space or the end must follow a closing quote.
 */
export function splitInline(line: ByteString): ByteString[] | undefined {
  const args: ByteString[] = [];
  let current: ByteString | undefined;
  let closed = false;
  piece.lastIndex = 0;
  while (piece.lastIndex < line.length) {
    const match = piece.exec(line);
    if (match === null) return undefined;
    const [, double, single, blank, plain] = match;
    if (blank !== undefined) {
      if (current !== undefined) args.push(current);
      current = undefined;
      closed = false;
    } else {
      if (closed) return undefined;
      closed = plain === undefined;
      const added = double !== undefined ? unquote(double) : (single?.replace(/\\'/g, "'") ?? plain ?? '');
      current = (current ?? '') + added;
    }
  }
  if (current !== undefined) args.push(current);
  return args;
}

function unquote(quoted: string): ByteString {
  return quoted.replace(/\\(?:x([0-9a-fA-F]{2})|(.))/gs, (_, hex: string | undefined, other: string | undefined) =>
    hex !== undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : (escapes[other ?? ''] ?? other ?? ''),
  );
}
