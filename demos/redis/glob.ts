const MANY = Symbol('*');
const ANY = (): boolean => true;
/** A part of a pattern: any number of characters, literal characters, or one character that passes a test. */
type Token = typeof MANY | string | ((code: number) => boolean);

/**
 * Compiles a pattern of Redis: `*` matches any characters, `?` matches one, `[a-c]` and `[^a-c]` match one of a class, and
 * `\` makes the next character literal.
 *
 * The matcher backtracks to the last `*` only and never calls itself: once a later `*` has been reached, an earlier one
 * cannot change the result. So the time is at most pattern × text. A recursive matcher takes exponential time for
 * `*a*a*a*a*b` and blocks the event loop. Literal characters are searched for as one string.
 *
 * @returns A function that tests whether a whole text matches.
 */
export function glob(pattern: string): (text: string) => boolean {
  if (pattern === '*') return () => true;
  const tokens = compile(pattern);
  return (text) => matches(tokens, text);
}

function matches(tokens: readonly Token[], text: string): boolean {
  let token = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  for (;;) {
    const part = tokens[token];
    if (part === undefined && at === text.length) return true;
    if (part === MANY) {
      star = token++;
      starAt = at;
    } else if (typeof part === 'string' && text.startsWith(part, at)) {
      token++;
      at += part.length;
    } else if (typeof part === 'function' && at < text.length && part(text.charCodeAt(at))) {
      token++;
      at++;
    } else if (star >= 0 && starAt < text.length) {
      // The last star matches more, up to the next position where the part after it can begin.
      token = star + 1;
      starAt = placeOf(tokens, token, text, starAt + 1);
      if (starAt < 0) return false;
      at = starAt;
    } else return false;
  }
}

/** The first position, from the given one on, where the part after a `*` can begin; -1 if there is none. */
function placeOf(tokens: readonly Token[], token: number, text: string, from: number): number {
  const part = tokens[token];
  if (part === undefined) return text.length;
  if (typeof part !== 'string') return from;
  if (token < tokens.length - 1) return text.indexOf(part, from);
  const end = text.length - part.length;
  return end < from ? -1 : end;
}

function compile(pattern: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const take = (char: string): void => {
    const last = tokens.at(-1);
    if (typeof last === 'string') tokens[tokens.length - 1] = last + char;
    else tokens.push(char);
  };
  while (at < pattern.length) {
    const char = pattern.charAt(at);
    if (char === '*') {
      if (tokens.at(-1) !== MANY) tokens.push(MANY);
      at++;
    } else if (char === '?') {
      tokens.push(ANY);
      at++;
    } else if (char === '[') {
      const { fits, end } = classAt(pattern, at + 1);
      tokens.push(fits);
      at = end;
    } else {
      if (char === '\\' && at + 1 < pattern.length) at++;
      take(pattern.charAt(at++));
    }
  }
  return tokens;
}

/** Reads a class from behind its opening bracket. A class that is never closed extends to the end of the pattern. */
function classAt(pattern: string, start: number): { fits: (code: number) => boolean; end: number } {
  const ranges: { from: number; to: number }[] = [];
  let at = start;
  const negated = pattern[at] === '^';
  if (negated) at++;
  for (; at < pattern.length && pattern[at] !== ']'; at++) {
    if (pattern[at] === '\\' && at + 1 < pattern.length) {
      const code = pattern.charCodeAt(++at);
      ranges.push({ from: code, to: code });
    } else if (pattern[at + 1] === '-' && at + 2 < pattern.length) {
      const [one, other] = [pattern.charCodeAt(at), pattern.charCodeAt(at + 2)];
      ranges.push({ from: Math.min(one, other), to: Math.max(one, other) });
      at += 2;
    } else ranges.push({ from: pattern.charCodeAt(at), to: pattern.charCodeAt(at) });
  }
  const inside = (code: number): boolean => ranges.some(({ from, to }) => from <= code && code <= to);
  return { fits: negated ? (code) => !inside(code) : inside, end: at + 1 };
}
