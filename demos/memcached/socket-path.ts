import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';

/**
 * Removes a unix socket that a killed server has left behind: otherwise its path would count as taken forever. A socket that a
 * process listens on stays, and so does a file that is not a socket.
 */
export async function clearPath(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const abandoned = await new Promise<boolean>((resolve) => {
    const socket = connect(path)
      .on('connect', () => {
        socket.destroy();
        resolve(false);
      })
      .on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
  if (abandoned) unlinkSync(path);
}
