import type { ContentFault, LineFault } from './frame.ts';

/** A reply of one line, or of several. The text of most begins with an enhanced status code. (RFC 2034) */
export const reply = (code: number, ...lines: string[]): string =>
  lines.map((line, i) => `${code}${i < lines.length - 1 ? '-' : ' '}${line}\r\n`).join('');

export const OK = reply(250, '2.0.0 OK');
export const START_MESSAGE = reply(354, 'End data with <CR><LF>.<CR><LF>');
export const READY_FOR_TLS = reply(220, '2.0.0 Ready to start TLS');

export const syntax = (of: string): string => reply(501, `5.5.4 Syntax: ${of}`);
export const outOfOrder = (sentence: string): string => reply(503, `5.5.1 ${sentence}`);

/** The last words to a client, before the server closes. (RFC 5321, 3.8) */
export const closing = (status: string, host: string, sentence: string): string =>
  reply(421, `${status} ${host} ${sentence}`);

/** Whether the server closes after a reply: it is that to QUIT, or 421. */
export const isLast = (text: string): boolean => text.startsWith('221') || text.startsWith('421');

export const LINE_FAULTS: Readonly<Record<LineFault, string>> = {
  'too-long': reply(500, '5.5.2 The line is too long'),
  'bare-lf': reply(500, '5.5.2 A line must end with <CR><LF>'),
  bytes: reply(500, '5.5.2 A line must be text in UTF-8'),
};

export const CONTENT_FAULTS: Readonly<Record<ContentFault, string>> = {
  'bare-lf': reply(554, '5.6.0 The message has an <LF> without its <CR>'),
  'bare-cr': reply(554, '5.6.0 The message has a <CR> without its <LF>'),
  'long-line': reply(554, '5.6.0 The message has a line of more than 998 bytes'),
  size: reply(552, '5.3.4 The message is too large'),
};

/** Codes of Node's errors that say that the disk is full. */
const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT'];

/** The reply for a message that cannot be stored. The client tries again later, because it may be stored then. */
export function notStored(error: unknown): string {
  const isFull = error instanceof Error && 'code' in error && FULL.includes(error.code);
  return isFull ? reply(452, '4.3.1 The disk is full') : reply(451, '4.3.0 The message cannot be stored now');
}
