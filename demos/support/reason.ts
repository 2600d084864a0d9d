import { printable } from '../../lib/index.ts';

/** Node's error codes, explained for a user who has started a demo. */
const REASONS: Record<string, string> = {
  EADDRINUSE: 'the port is already taken',
  EACCES: 'this user is not allowed to',
  ENOENT: 'there is no such file or folder',
  EISDIR: 'that is a folder',
  EADDRNOTAVAIL: 'no such address here, or no port left on it',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the host name could not be looked up',
  ECONNREFUSED: 'nothing is listening there',
  ECONNRESET: 'the peer reset the connection',
  EPIPE: 'the peer had closed the connection',
  ETIMEDOUT: 'there was no answer in time',
  EHOSTUNREACH: 'there is no route to that host',
  ENETUNREACH: 'there is no route to that network',
  EMFILE: 'out of file descriptors, see ulimit -n',
  ENFILE: 'this machine is out of file descriptors',
};

/**
 * Explains an error, or its code, in a phrase: `the port is already taken (EADDRINUSE)`.
 *
 * The text may come from another program, such as a NATS server. It is always one line, and control characters in it are
 * escaped, because a terminal would execute them.
 */
export function reason(error: unknown): string {
  const code = typeof error === 'string' ? error : codeOf(error);
  const known = code === undefined ? undefined : REASONS[code];
  if (known !== undefined) return `${known} (${code})`;
  return oneLine(error instanceof Error && error.message !== '' ? error.message : String(code ?? error));
}

/** Text from any source, as one line that is safe to print on a terminal. */
export const oneLine = (text: string): string => printable(text.trim().replace(/\s*\n\s*/g, ' '));

/** The code of a Node error, such as `EADDRINUSE`; `undefined` if it has none. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
