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

/** Who the log is replayed for. */
const NOBODY: Peer = {
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

/** The log cannot be read from some place on. Nobody but a person can say what was meant. */
export class LogCorruptError extends Error {
  override readonly name = 'LogCorruptError';
  /** How many bytes before the place could be replayed. */
  readonly offset: number;

  constructor(path: string, offset: number, why: string) {
    super(`Cannot replay ${path}: at byte ${offset}, ${why}`);
    this.offset = offset;
  }
}

export interface OpenLogOptions {
  /** Is told what was cut off. */
  readonly warn?: (message: string) => void;
  /** The clock of the log. @default asyncScheduler */
  readonly scheduler?: SchedulerLike;
}

/**
 * Replays a log into an empty database, and opens it to be written on.
 *
 * A command, or a transaction, that the file ends in the middle of was never acknowledged: it is cut off.
 *
 * @throws {LogCorruptError} If anything else is wrong with it: to go on would hide that changes are lost.
 */
export function openLog(path: string, db: Database, { warn, scheduler }: OpenLogOptions = {}): Log {
  const descriptor = openSync(path, 'a+');
  const size = sizeOf(descriptor);
  const good = db.store.holdClock(0, () => replay(path, descriptor, db));
  if (good < size) {
    warn?.(`${path} ends in the middle of a command: its last ${size - good} bytes are cut off`);
    ftruncateSync(descriptor, good);
  }
  const log = new Log(logFile(descriptor), good, scheduler);
  db.keep(log);
  return log;
}

/**
 * Runs what is in the file, with the clock at zero: a key that expired was removed by a DEL that stands in the file as
 * well, at the place where it happened.
 *
 * @returns How many bytes make whole commands and whole transactions.
 */
function replay(path: string, descriptor: number, db: Database): number {
  const session = new Session(db, NOBODY, commandOf);
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

/** @returns What is wrong with the next command, if anything is. */
function step(decoder: RequestDecoder, input: Input, session: Session): string | typeof PENDING | undefined {
  try {
    const request = decoder.decode(input);
    if (request === PENDING) return PENDING;
    if (request === BLANK) return undefined;
    const reply = session.handle(request);
    if (session.closing) return `${request[0]} is no change`;
    const fails = typeof reply === 'string' && reply.startsWith('-');
    return fails ? `${request[0]} fails: ${reply.slice(1).trim()}` : undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return error.reply;
    throw error;
  }
}
