import { ftruncateSync, openSync, readSync } from 'node:fs';
import type { SchedulerLike } from 'rxjs';
import { BLANK, type Input, PENDING } from '../../../lib/index.ts';
import type { Peer } from '../client.ts';
import { commandOf } from '../commands/table.ts';
import type { Database } from '../database.ts';
import { ProtocolError, RequestDecoder } from '../resp/request.ts';
import { Session } from '../session.ts';
import { Log, logFile, sizeOf } from './log.ts';

const CHUNK = 1024 * 1024;

/** The peer of the session that replays the log: it has no connection and no limits. */
const NO_PEER: Peer = {
  address: '',
  localAddress: '',
  push() {},
  close() {},
  abort() {},
  hold: () => true,
  maxReply: Number.POSITIVE_INFINITY,
  unsent: 0,
  moved: 0,
};

/** The log cannot be replayed beyond some offset. A person has to decide how to repair it. */
export class LogCorruptError extends Error {
  override readonly name = 'LogCorruptError';
  /** How many bytes could be replayed. */
  readonly offset: number;

  constructor(path: string, offset: number, why: string) {
    super(`Cannot replay ${path}: at byte ${offset}, ${why}`);
    this.offset = offset;
  }
}

export interface OpenLogOptions {
  /** Called with a message when the end of the file is truncated. */
  readonly warn?: (message: string) => void;
  /** The clock of the log. @default asyncScheduler */
  readonly scheduler?: SchedulerLike;
}

/**
 * Replays a log into an empty database, and opens it for appending.
 *
 * A command or transaction that is incomplete at the end of the file was never acknowledged, so it is truncated.
 *
 * @throws {LogCorruptError} If the log has any other fault: continuing would hide that changes are lost.
 */
export function openLog(path: string, db: Database, { warn, scheduler }: OpenLogOptions = {}): Log {
  const descriptor = openSync(path, 'a+');
  const size = sizeOf(descriptor);
  const good = db.store.holdClock(0, () => replay(path, descriptor, db));
  if (good < size) {
    warn?.(`${path} ends in the middle of a command: its last ${size - good} bytes are truncated`);
    ftruncateSync(descriptor, good);
  }
  const log = new Log(logFile(descriptor), good, scheduler);
  db.keep(log);
  return log;
}

/**
 * Executes the commands in the file with the clock at zero, so that no key expires during the replay. When a key expired, a
 * DEL was logged at that position in the file.
 *
 * @returns The length of all complete commands and transactions, in bytes.
 */
function replay(path: string, descriptor: number, db: Database): number {
  const session = new Session(db, NO_PEER, commandOf);
  const decoder = new RequestDecoder({ maxBulk: 512 * 1024 * 1024, maxArguments: Number.POSITIVE_INFINITY });
  const buffer = Buffer.allocUnsafe(CHUNK);
  let base = 0;
  let good = 0;
  for (;;) {
    const length = readSync(descriptor, buffer, 0, CHUNK, base);
    if (length === 0) break;
    const input: Input = { bytes: buffer.subarray(0, length), at: 0 };
    for (;;) {
      const why = step(decoder, input, session);
      if (why === PENDING) break;
      if (why !== undefined) throw new LogCorruptError(path, good, why);
      if (!session.transaction.open) good = base + input.at;
    }
    base += length;
  }
  session.leave();
  return good;
}

/** @returns What is wrong with the next command; `undefined` if nothing is; `PENDING` if it is incomplete. */
function step(decoder: RequestDecoder, input: Input, session: Session): string | typeof PENDING | undefined {
  try {
    const request = decoder.decode(input);
    if (request === PENDING) return PENDING;
    if (request === BLANK) return undefined;
    const reply = session.handle(request);
    if (session.closing) return `${request[0]} cannot be replayed`;
    const fails = typeof reply === 'string' && reply.startsWith('-');
    return fails ? `${request[0]} fails: ${reply.slice(1).trim()}` : undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return error.reply;
    throw error;
  }
}
