/**
 * What a terminal obeys, or what makes a line read as another one: C0 controls, DEL, C1 controls, line separators, and the
 * characters that change the direction of writing. A tab and a newline are text.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are looked for.
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Text with every unsafe character as an escape of JavaScript, such as `\u001b`. What is escaped already stays as it is. */
export const printable = (text: string): string => text.replace(UNSAFE, escaped);

/** The same on one line: newlines are escaped as well. */
export const printableLine = (text: string): string => printable(text).replaceAll('\n', '\\n');
