/** One place in a pattern: any number of characters, or one that fits. */
type Token = 'many' | ((code: number) => boolean);

/**
 * Compiles a pattern as Redis knows them: `*` any characters, `?` one, `[a-c]` and `[^a-c]` one of a class, `\` takes
 * the next character as it is.
 *
 * The matcher goes back to the last `*` only, and never calls itself: when a later `*` has been reached, an earlier one
 * cannot help any more. So the time is at most pattern × text, where a recursive matcher takes exponential time for
 * `*a*a*a*a*b` and stops the event loop.
 *
 * @returns Whether a text matches, from its first character to its last.
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
  while (at < text.length) {
    const fits = tokens[token];
    if (fits === 'many') {
      star = token++;
      starAt = at;
    } else if (fits?.(text.charCodeAt(at))) {
      token++;
      at++;
    } else if (star >= 0) {
      token = star + 1;
      at = ++starAt;
    } else return false;
  }
  while (tokens[token] === 'many') token++;
  return token === tokens.length;
}

function compile(pattern: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < pattern.length) {
    const char = pattern[at];
    if (char === '*') {
      if (tokens.at(-1) !== 'many') tokens.push('many');
      at++;
    } else if (char === '?') {
      tokens.push(() => true);
      at++;
    } else if (char === '[') {
      const { fits, end } = classAt(pattern, at + 1);
      tokens.push(fits);
      at = end;
    } else {
      if (char === '\\' && at + 1 < pattern.length) at++;
      const only = pattern.charCodeAt(at++);
      tokens.push((code) => code === only);
    }
  }
  return tokens;
}

/** Reads a class from behind its bracket. One that is never closed goes to the end of the pattern. */
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
