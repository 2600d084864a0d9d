/** Characters without a glyph, letters and marks among them. With such a character, one name could look like another. */
const IGNORABLE = /\p{Default_Ignorable_Code_Point}/gu;
const withoutIgnorable = (text: string): string => text.replace(IGNORABLE, '');

/** A valid name: letters and digits of any script, `-` and `_`. It begins with a letter or a digit. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}_-]{0,23}$/u;
export const isName = (name: unknown): name is string =>
  typeof name === 'string' && NAME.test(name) && withoutIgnorable(name) === name;
/** The name of a room is its key, so all spellings of a name lead to the same room. */
export const isRoom = (name: unknown): name is string => isName(name) && keyOf(name) === name;
/** Appended to a text that is not a name. */
export const NO_NAME = 'is not a name: use up to 24 letters, digits, - and _';

/**
 * The form in which a name is kept: spellings of the same letters become one, and ignorable characters are removed. Normalized
 * a second time, because letters that such a character separated may now combine.
 */
export const normal = (name: string): string => withoutIgnorable(name.normalize('NFKC')).normalize('NFKC');

/** The key of a name. Names that look the same, or differ in case only (`Anna` and `anna`), have the same key. */
export const keyOf = (name: string): string => normal(name).toLowerCase();

/**
 * Control characters of terminals (C0, DEL, C1), changes of writing direction, invisible marks, and line ends other than ours.
 * With these, a line could clear the screen of every reader, or look like a line of another user.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it matches control characters.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Makes text safe to show on a terminal: a tab becomes a space, an unsafe character U+FFFD. */
export const harmless = (text: string): string => text.replaceAll('\t', ' ').replace(UNSAFE, '\ufffd');

/** `anna, bob and carl`. If there are more than `most` names, only the first, and the number of the rest. */
export function list(names: readonly string[], most = 200): string {
  if (names.length > most) return `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
  return [names.slice(0, -1).join(', '), ...names.slice(-1)].filter((part) => part !== '').join(' and ');
}

/** Lines from the server. Their star marks them, because no name of a user begins with one. */
export const notice = (...lines: string[]): string => lines.map((line) => `* ${line}\n`).join('');

/** A line of a user. */
export const speech = (name: string, text: string): string => `<${name}> ${text}\n`;

/** A server's name for users, without the suffix that makes each run of the program unique. */
export const serverName = (server: string): string => server.replace(/\/[^/]*$/, '');
