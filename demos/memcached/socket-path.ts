import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';

/**
 * Takes away a unix socket that a server has left behind which was killed: the path would count as taken for ever. One at
 * which somebody listens stays, and so does a file that is no socket.
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
