/** What is drawn as nothing at all, letters and marks among them: with it, one name could look like another. */
const IGNORABLE = /\p{Default_Ignorable_Code_Point}/gu;
const withoutIgnorable = (text: string): string => text.replace(IGNORABLE, '');

/** What a name may be: letters and digits of any script, `-` and `_`, and it begins with one of the first. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}_-]{0,23}$/u;
export const isName = (name: unknown): name is string =>
  typeof name === 'string' && NAME.test(name) && withoutIgnorable(name) === name;
/** A room is called by its key: another way to write it leads to the same room. */
export const isRoom = (name: unknown): name is string => isName(name) && keyOf(name) === name;
/** Stands behind what is none. */
export const NO_NAME = 'is no name: up to 24 letters, digits, - and _ make one';

/**
 * The name as it is kept: different ways to write the same letters become one, and what is not seen does not count. Letters that
 * it stood between may belong together, so that they are normalized again.
 */
export const normal = (name: string): string => withoutIgnorable(name.normalize('NFKC')).normalize('NFKC');

/** What two names have in common that nobody can tell apart: `Anna` and `anna`. */
export const keyOf = (name: string): string => normal(name).toLowerCase();

/**
 * Controls of the terminal (C0, DEL, C1), what turns the direction of writing, invisible marks, and line ends other than ours: with
 * these one line could clear the screens of all who read it, or look like somebody else's.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Makes text harmless to whoever shows it: tabs become spaces, what is unsafe U+FFFD. */
export const harmless = (text: string): string => text.replaceAll('\t', ' ').replace(UNSAFE, '\ufffd');

/** `anna, bob and carl`; of more than `most` only the first, and how many more there are. */
export function list(names: readonly string[], most = 200): string {
  if (names.length > most) return `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
  return [names.slice(0, -1).join(', '), ...names.slice(-1)].filter((part) => part !== '').join(' and ');
}

/** Lines from the server, not from a person: no name begins with a star. */
export const notice = (...lines: string[]): string => lines.map((line) => `* ${line}\n`).join('');

/** What somebody says. */
export const speech = (name: string, text: string): string => `<${name}> ${text}\n`;

/** A server as users see it, without what tells this run of its program from all others. */
export const serverName = (server: string): string => server.replace(/\/[^/]*$/, '');
