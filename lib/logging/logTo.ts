import { type Logger, pino } from 'pino';
import type { NextObserver } from 'rxjs';
import type { ServerEvent } from '../events.ts';
import { checkArgument, describe, having } from '../options.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';

const LEVELS = {
  listening: 'info',
  opened: 'debug',
  closed: 'info',
  refused: 'warn',
  failed: 'error',
  exhausted: 'error',
  recovered: 'info',
  draining: 'info',
  drained: 'info',
} as const satisfies Record<ServerEvent['type'], Level>;

/**
 * Logs what a server says: an observer of its events.
 *
 * Each event is one line: its type, its fields, and a sentence. `listening`, `recovered`, `draining` and `drained` are `info`, and so is
 * `closed`, which makes it an access log; `opened` is `debug`, `refused` is `warn`, `failed` and `exhausted` are `error`. An
 * error has its stack in `failed`; `closed` says it in one sentence.
 *
 * @param logger A pino logger. @default pino(), which writes JSON lines to the standard output
 * @returns An observer for `serve(…).subscribe(…)`. It logs an error that ends the stream as `error`, too.
 * @throws TypeError for a logger that has not those levels.
 */
export function logTo(
  logger: Logger = pino(),
): Required<Pick<NextObserver<ServerEvent>, 'next'>> & { error(error: unknown): void } {
  checkArgument('log', 'logger', logger, having('a pino logger', ...new Set(Object.values(LEVELS))));
  return {
    next: (event) => logger[LEVELS[event.type]](fields(event), sentence(event)),
    error: (error) => logger.error({ type: 'error', err: error }, 'the server ended with an error'),
  };
}

function fields(event: ServerEvent): object {
  if (event.type === 'listening') return { type: event.type, address: event.address };
  if (!('error' in event)) return event;
  const { error, ...others } = event;
  // How a peer went is no fault of the program, and where it is one, `failed` has told where.
  if (event.type === 'closed') return { ...others, error: inLine(error) };
  // The name under which pino knows how to print an error.
  return { ...others, err: error };
}

function inLine(error: unknown): string {
  if (!(error instanceof Error)) return describe(error);
  // The message of pino's has those of the causes behind it.
  const { type, message } = pino.stdSerializers.err(error);
  return `${type}: ${message}`;
}

const at = ({ address = 'unknown', port }: { address: string | undefined; port: number | undefined }) => {
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
};

const inBrackets = (text: string | undefined) => (text === undefined ? '' : ` (${text})`);

function sentence(event: ServerEvent): string {
  switch (event.type) {
    case 'listening':
      return `listening on ${at(event.address)}`;
    case 'opened':
      return `connection ${event.id} opened`;
    case 'closed':
      return `connection ${event.id} closed: ${event.reason}${inBrackets(event.deadline ?? event.detail)}`;
    case 'refused':
      return `connection ${event.id} refused: ${event.reason}`;
    case 'failed':
      return event.id === undefined ? 'an accept failed' : `connection ${event.id}: its handler failed`;
    case 'exhausted':
      return `out of descriptors: the process may have ${event.limit}`;
    case 'recovered':
      return `descriptors are free again: ${event.refused} refused meanwhile`;
    case 'draining':
      return `draining: ${event.active} active, ${event.waiting} waiting`;
    case 'drained':
      return `drained: ${event.drained} finished, ${event.aborted} aborted, ${event.refused} refused`;
  }
}
