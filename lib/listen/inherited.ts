import { fstatSync } from 'node:fs';
import { InheritedSocketError } from '../errors.ts';
import { checkArgument, text } from '../options.ts';
import type { Where } from '../transport/transport.ts';
import { type InheritedSocket, inheritedSockets, LISTEN_VARIABLES, socketNamed } from './inheritedSockets.ts';

/** What was handed over to this process: kept, because the variables that say so are removed. */
let known: readonly InheritedSocket[] | undefined;

/**
 * A listening socket that the parent of this process has opened for it, as systemd does for a socket unit: where to listen.
 *
 * While the process restarts, the socket stays open and clients wait in its queue, so that none is refused: a drain accepts no
 * further ones, and leaves them to the next process. What only the owner of a socket can set comes with it: a port below 1024
 * without root, and the sizes of the kernel's buffers, which the accepted sockets inherit.
 *
 * The first call removes `LISTEN_FDS`, `LISTEN_FDNAMES` and `LISTEN_PID` from the environment, so that no child process takes
 * them for its own, as sd_listen_fds(3) does. Node has marked the descriptors as close-on-exec when it started. A server that
 * closes its port closes the descriptor: a second server of the same process cannot listen on it.
 *
 * @example The socket of a socket unit, or a port of its own where there is none.
 * ```ts
 * const where = inherited('main', { port: 7000 });
 *
 * serve(where, (client) => client.pipe(lines(), map(encodeLine)), { shutdown: signals() }).subscribe(logTo());
 * ```
 *
 * @param name `FileDescriptorName=` of the socket unit, or `--fdname` of systemd-socket-activate. Without such a setting a socket
 * unit has its own name, such as `echo.socket`. @default the only socket
 * @param otherwise Where to listen if the process was started without any sockets. @default nowhere: an error
 * @returns Its descriptor, with `held`, for `serve` and `listen`; or `otherwise`.
 * @throws InheritedSocketError where no socket was handed over to this process, or not just one with that name.
 */
export function inherited(name?: string, otherwise?: Where): Where {
  if (name !== undefined) checkArgument('inherit a socket', 'its name', name, text);
  if (process.env.LISTEN_FDS === undefined && known === undefined && otherwise !== undefined) return otherwise;
  const { fd } = socketNamed(handedOver(), name);
  if (!isSocket(fd)) throw new InheritedSocketError('not-a-socket', `descriptor ${fd} is not an open socket`);
  return { fd, held: true };
}

function handedOver(): readonly InheritedSocket[] {
  if (known !== undefined && process.env.LISTEN_FDS === undefined) return known;
  known = inheritedSockets(process.env, process.pid);
  for (const variable of LISTEN_VARIABLES) delete process.env[variable];
  return known;
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}
