import { printable } from '../../lib/index.ts';

/** What Node's codes mean to somebody who started a demo. */
const REASONS: Record<string, string> = {
  EADDRINUSE: 'the port is already taken',
  EACCES: 'this user is not allowed to',
  ENOENT: 'there is no such file or folder',
  EISDIR: 'that is a folder',
  EADDRNOTAVAIL: 'no such address here, or no port left on it',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the host name could not be looked up',
  ECONNREFUSED: 'nobody is listening there',
  ECONNRESET: 'the peer reset the connection',
  EPIPE: 'the peer had closed the connection',
  ETIMEDOUT: 'no answer came in time',
  EHOSTUNREACH: 'there is no route to that host',
  ENETUNREACH: 'there is no route to that network',
  EMFILE: 'out of file descriptors, see ulimit -n',
  ENFILE: 'this machine is out of file descriptors',
};

/**
 * Says in words why something could not be done, given the error or its code: `the port is already taken (EADDRINUSE)`.
 *
 * The words may come from another program, such as a NATS server: they are one line, and a terminal obeys nothing in them.
 */
export function reason(error: unknown): string {
  const code = typeof error === 'string' ? error : codeOf(error);
  const known = code === undefined ? undefined : REASONS[code];
  if (known !== undefined) return `${known} (${code})`;
  return oneLine(error instanceof Error && error.message !== '' ? error.message : String(code ?? error));
}

/** Text from anywhere, as one line that is safe to be shown. */
export const oneLine = (text: string): string => printable(text.trim().replace(/\s*\n\s*/g, ' '));

/** The code of one of Node's errors, such as `EADDRINUSE`; `undefined` where there is none. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
