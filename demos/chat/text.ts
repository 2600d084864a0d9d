/** What a name of a person or a room may be: letters and digits of any script, `-` and `_`, and it begins with a letter or digit. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}_-]*$/u;
const LONGEST_NAME = 24;

/**
 * Controls of the terminal (C0, DEL, C1), what turns the direction of writing, invisible marks, and line ends other than ours: with
 * these one line could clear the screens of all who read it, or look like somebody else's.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Makes text harmless to whoever shows it: tabs become spaces, what is unsafe U+FFFD. */
export function harmless(text: string): string {
  return text.replaceAll('\t', ' ').replace(UNSAFE, '\ufffd');
}

/** The name as it is kept: different ways to write the same letters become one. */
export function normal(name: string): string {
  return name.normalize('NFKC');
}

/** What two names have in common that nobody can tell apart: `Anna` and `anna`. */
export function keyOf(name: string): string {
  return normal(name).toLowerCase();
}

/** @returns What is wrong with a name, to stand behind it; nothing if it is fine. */
export function wrongWith(name: string): string | undefined {
  if ([...name].length > LONGEST_NAME) return `is longer than ${LONGEST_NAME} characters`;
  if (!NAME.test(name)) return 'is no name: letters, digits, - and _ make one';
  return undefined;
}

/** `anna, bob and carl`; of more than `most` only the first, and how many more there are. */
export function list(names: readonly string[], most = 50): string {
  if (names.length > most) return `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** A line from the server, not from a person: no name begins with a star. */
export const notice = (text: string): string => `* ${text}\n`;

/** What somebody says. */
export const speech = (name: string, text: string): string => `<${name}> ${text}\n`;

/** A server as users see it, and what tells this run of its program from all others. */
export const serverKey = (name: string, run: string): string => `${name}/${run}`;
export const serverName = (key: string): string => key.replace(/\/[^/]*$/, '');
