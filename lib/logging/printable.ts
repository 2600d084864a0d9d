/**
 * Characters that control a terminal, or make a line look like another one: C0 controls, DEL, C1 controls, line separators, and
 * those that change the direction of text. A tab and a newline are text.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the expression is meant to find them.
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * Escapes every character that could control a terminal, or make a text look like another one, as in JavaScript: such as `\u001b`.
 * Use it for what a peer has sent, before it is shown or logged. Escapes that are in the text stay as they are.
 *
 * @example
 * ```ts
 * console.log(printable('red: \u001b[31m'));
 * // → red: \u001b[31m
 * ```
 *
 * @param text Any text.
 * @returns The text without such characters. Tabs and newlines stay.
 */
export const printable = (text: string): string => text.replace(UNSAFE, escaped);

/** Escapes newlines as well, so that the text is one line. */
export const printableLine = (text: string): string => printable(text).replaceAll('\n', '\\n');
