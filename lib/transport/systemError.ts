import { getSystemErrorName } from 'node:util';

/** The same error that Node makes for this error number. */
export function systemError(syscall: string, errno: number): Error {
  const code = getSystemErrorName(errno);
  return Object.assign(new Error(`${syscall} ${code}`), { errno, code, syscall });
}
