import { InheritedSocketError } from '../errors.ts';
import { describe } from '../options.ts';

/** A socket that another process has opened for this one. */
export interface InheritedSocket {
  readonly name: string;
  /** Its descriptor. */
  readonly fd: number;
}

/** The first descriptor behind standard input, output and error. */
const FIRST = 3;

/** How many a message lists. */
const SHOWN = 20;

/** The name that systemd's own functions give to a socket that was handed over without one. */
const UNNAMED = 'unknown';

/** The variables of the protocol. Only newer releases of systemd set `LISTEN_PIDFDID`. */
export const LISTEN_VARIABLES = ['LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PID', 'LISTEN_PIDFDID'] as const;

/** Descriptors that are believed. A count is a text of another program, and each descriptor costs memory here. */
const MOST = 65_536;

const isCount = (text: string) => /^[1-9]\d{0,8}$/.test(text);

/**
 * Reads which sockets were handed over, by the protocol of sd_listen_fds(3).
 *
 * ```text
 * LISTEN_PID=4711                for which process
 * LISTEN_FDS=2                   how many: descriptors 3 and 4
 * LISTEN_FDNAMES=main:admin      their names, in the same order
 * ```
 *
 * @param pid The number of this process.
 * @throws InheritedSocketError where none was handed over to this process, or the variables contradict each other.
 */
export function inheritedSockets(env: Readonly<NodeJS.ProcessEnv>, pid: number): readonly InheritedSocket[] {
  const { LISTEN_FDS: count, LISTEN_PID: target, LISTEN_FDNAMES: names } = env;
  if (count === undefined) {
    throw new InheritedSocketError(
      'none',
      'LISTEN_FDS is not set. The process has to be started by a socket unit of systemd, by systemd-socket-activate, or by another program that hands over sockets in the same way',
    );
  }
  if (!isCount(count) || Number(count) > MOST) {
    throw malformed(`LISTEN_FDS must be a number of descriptors from 1 to ${MOST}, not ${describe(count)}`);
  }
  if (target === undefined || !isCount(target)) {
    throw malformed(`LISTEN_PID must be the number of a process, not ${describe(target)}`);
  }
  if (Number(target) !== pid) {
    throw new InheritedSocketError(
      'other-process',
      `the sockets are for process ${target}, and this is process ${pid}. The command that is started must be node itself: node --import tsx in place of tsx, no npm or npx, and exec node in a shell. A thread, or the worker of a cluster, is told the descriptor instead, and listens on { fd }`,
    );
  }
  const listed = names?.split(':') ?? Array<string>(Number(count)).fill(UNNAMED);
  if (listed.length !== Number(count)) {
    throw malformed(`LISTEN_FDNAMES has ${listed.length} names, and LISTEN_FDS is ${count}`);
  }
  return listed.map((name, i) => ({ name, fd: FIRST + i }));
}

const malformed = (why: string) => new InheritedSocketError('malformed', why);

/**
 * Finds a socket by its name.
 *
 * @param name Without it, the only socket is meant.
 * @throws InheritedSocketError where not just one socket has the name.
 */
export function socketNamed(sockets: readonly InheritedSocket[], name: string | undefined): InheritedSocket {
  const found = name === undefined ? sockets : sockets.filter((socket) => socket.name === name);
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  const names = sockets.map((socket) => socket.name);
  if (first === undefined) {
    const why = `there is none with the name ${describe(name)} among ${list(sockets)}. FileDescriptorName= of a socket unit sets it`;
    throw new InheritedSocketError('unknown-name', why, names);
  }
  const why =
    name === undefined
      ? `there are several, and no name says which: ${list(sockets)}`
      : `descriptors ${found.map(({ fd }) => fd).join(' and ')} both have the name ${describe(name)}. Give each a socket unit of its own, with another FileDescriptorName=; or listen on { fd: ${first.fd} }`;
  throw new InheritedSocketError('ambiguous', why, names);
}

function list(sockets: readonly InheritedSocket[]): string {
  const shown = sockets.slice(0, SHOWN).map(({ name, fd }) => `${describe(name)} (descriptor ${fd})`);
  const more = sockets.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? `, and ${more} more` : ''}`;
}
