import { inspect } from 'node:util';
import type { NextObserver } from 'rxjs';
import { isA, TlsError } from '../errors.ts';
import type { CertificateInfo, FailedEvent, OpenedEvent, ProgressEvent, RefusedEvent, ServerEvent } from '../events.ts';
import { type Check, checkArgument, describe } from '../options.ts';
import { pinoLogger } from './pino.ts';
import { plain, sentenceOf } from './plain.ts';
import { printableLine } from './printable.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';

const LEVELS = {
  listening: 'info',
  opened: 'debug',
  closed: 'info',
  refused: 'warn',
  failed: 'error',
  exhausted: 'error',
  recovered: 'info',
  overcommitted: 'warn',
  certificate: 'info',
  hoarding: 'warn',
  progress: 'info',
  draining: 'info',
  drained: 'info',
} as const satisfies Record<ServerEvent['type'], Level>;

/** A logger for {@link logTo}: pino, `console`, Nest's `Logger`, or any other object with these methods. */
export type EventLogger = {
  /** Writes a line of the level `debug`. What it returns is ignored, as by the others. */
  debug(line: string): unknown;
  /** Writes a line of the level `warn`. What it returns is ignored. */
  warn(line: string): unknown;
  /** Writes a line of the level `error`. What it returns is ignored. */
  error(line: string): unknown;
} & (
  | {
      /** Writes a line of the level `info`. What it returns is ignored. */
      info(line: string): unknown;
    }
  | {
      /** Writes a line of the level `info`, in a logger that calls it so. What it returns is ignored. */
      log(line: string): unknown;
    }
);

/**
 * Logs the events of a server: an observer of `serve`.
 *
 * Each event is one line: its type, its fields, and a sentence. The levels:
 *
 * - `debug`: `opened`, and `refused` as `gone`, as a health check is that only connects
 * - `info`: `listening`, `closed`, which makes an access log, `progress`, `recovered`, `draining` and `drained`
 * - `warn`: `refused`, `overcommitted`, `hoarding`, and `certificate` if one of them ends soon; otherwise that is `info`
 * - `error`: `failed` and `exhausted`
 *
 * The line of `failed` includes the stack of the error. Those of `closed` and `refused` have the
 * error in one sentence.
 *
 * pino is called as `logger.info(fields, sentence)`; it is recognized by its methods `child` and `bindings`. Any other logger
 * receives one string, the sentence and the fields, with the stack of an error below: `logger.info(line)`, or
 * `logger.log(line)` if it has no `info`, as in Nest. Control characters, and characters that change the direction of text, are
 * escaped, because what is logged may come from a peer.
 *
 * @example
 * ```ts
 * serve({ port: 7000 }, (client) => client.pipe(lines(), map(encodeLine))).subscribe(logTo());
 * ```
 *
 * @param logger Where to write. @default pino({}, boundedStdout), loaded by this call: JSON lines on standard output, which never
 * block the server and never keep the process alive
 * @returns An observer for `serve(…).subscribe(…)`. It logs an error that ends the stream as `error`, too.
 * @throws TypeError for a logger without these methods.
 */
export function logTo(
  logger: EventLogger = pinoLogger(),
): Required<Pick<NextObserver<ServerEvent>, 'next'>> & { error(error: unknown): void } {
  checkArgument('log', 'logger', logger, eventLogger);
  const write = writer(logger);
  return {
    next: (event) => write(levelOf(event), fields(event), printableLine(sentence(event))),
    error: (error) => write('error', { type: 'error', err: plain(error) }, 'the server ended with an error'),
  };
}

function levelOf(event: ServerEvent): Level {
  if (event.type === 'certificate' && event.isExpiring) return 'warn';
  // Health checks and port scans only connect and close.
  if (event.type === 'refused' && event.reason === 'gone') return 'debug';
  return LEVELS[event.type];
}

type Fields = { readonly type: string; readonly err?: unknown };
type Write = (level: Level, fields: Fields, sentence: string) => void;
type Methods = Record<string, (...args: unknown[]) => unknown>;

const has = (logger: unknown, method: string) =>
  typeof (logger as Record<string, unknown> | null | undefined)?.[method] === 'function';

const eventLogger: Check = (logger) =>
  ['debug', 'warn', 'error'].every((level) => has(logger, level)) && (has(logger, 'info') || has(logger, 'log'))
    ? undefined
    : `must be a logger with debug, info (or log), warn and error, not ${describe(logger)}`;

/** How to call this logger. */
function writer(logger: EventLogger): Write {
  const methods = logger as unknown as Methods;
  if (has(logger, 'child') && has(logger, 'bindings')) {
    return (level, fields, sentence) => void methods[level]?.(fields, sentence);
  }
  const name = (level: Level) => (level === 'info' && !has(logger, 'info') ? 'log' : level);
  return (level, fields, sentence) => void methods[name(level)]?.(line(fields, sentence));
}

/** The sentence, the fields and the stack in one string. */
function line({ type: _type, err, ...others }: Fields, sentence: string): string {
  const shown = Object.keys(others).length === 0 ? '' : ` ${inspect(others, ONE_LINE)}`;
  if (err === undefined) return `${sentence}${shown}`;
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? String(err.stack) : inspect(err, ONE_LINE);
  // Indented, so that no text from a peer can look like a log line.
  return `${sentence}${shown}\n${stack}`.replaceAll('\n', '\n    ');
}

const ONE_LINE = { breakLength: Number.POSITIVE_INFINITY, depth: 5 };

function fields(event: ServerEvent): Fields {
  if (event.type === 'listening')
    return plain({ type: event.type, address: event.address, transport: event.transport }) as Fields;
  if (event.type === 'opened') return plain(shortened(event)) as Fields;
  if (!('error' in event)) return plain(event) as Fields;
  const { error, ...others } = event;
  // No stack: how a connection was closed is no fault of the program, or else `failed` has logged the stack.
  if (event.type === 'closed' || event.type === 'refused') return plain({ ...others, error: inShort(error) }) as Fields;
  // pino serializes an error by this name.
  return plain({ ...others, err: error }) as Fields;
}

const at = ({ address = 'unknown', port }: { address: string | undefined; port: number | undefined }) => {
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
};

/** Without the fields of the PROXY header, and without the certificate. */
function shortened({ via, security, ...others }: OpenedEvent): Fields {
  const shown = { via: undefined as unknown, security: undefined as unknown, ...others };
  if (via) shown.via = { address: via.address, port: via.port };
  if (security) {
    const { protocol, cipher, alpn, servername, isVerified } = security;
    shown.security = { protocol, cipher, alpn, servername, isVerified };
  }
  return shown;
}

const validity = ({ hosts, validTo }: CertificateInfo) =>
  `the certificate of ${hosts.join(', ')} ${validTo > Date.now() ? 'is' : 'was'} valid until ${new Date(validTo).toISOString()}`;

const progress = ({ id, duration, change }: ProgressEvent) =>
  `connection ${id} open for ${Math.round(duration / 1000)} s: ${change.bytesIn} bytes in, ${change.bytesOut} out in the last ${Math.round(change.duration / 1000)} s`;

const heldBytes = (held: number | undefined) => (held === undefined ? undefined : `it held ${held} bytes`);
/** The cause of an error of TLS names lines of OpenSSL's source. */
const inShort = (error: unknown) => sentenceOf(error, !isA(error, TlsError));

const whyRefused = ({ deadline, error, limit, peer }: RefusedEvent) =>
  limit === undefined
    ? (deadline ?? faultOfTls(error))
    : `${peer.address} has its ${limit} connections; the option perAddress changes that`;

/** The name of the alert of TLS, or Node's code. */
const faultOfTls = (error: unknown) => (isA(error, TlsError) ? (error.alert ?? error.code) : undefined);
function whatFailed({ id, callback, error }: FailedEvent): string {
  if (callback !== undefined) return `the function ${callback} failed`;
  if (id !== undefined) return `connection ${id}: its handler failed`;
  if (isA(error, TlsError)) return 'the certificate was not renewed';
  return isA(error, Error) && error.message.startsWith('Cannot ') ? error.message : 'an accept failed';
}

const lost = (unsent: number) => (unsent === 0 ? '' : `, ${unsent} bytes unsent`);
const inBrackets = (text: string | undefined) => (text === undefined ? '' : ` (${text})`);

function sentence(event: ServerEvent): string {
  switch (event.type) {
    case 'listening':
      return `listening on ${at(event.address)}`;
    case 'opened':
      return `connection ${event.id} opened`;
    case 'closed':
      return `connection ${event.id} closed: ${event.reason}${inBrackets(event.deadline ?? event.detail ?? heldBytes(event.held))}`;
    case 'refused':
      return `connection ${event.id} refused: ${event.reason}${inBrackets(whyRefused(event))}`;
    case 'failed':
      return whatFailed(event);
    case 'exhausted':
      return `out of descriptors: the process may have ${event.limit}`;
    case 'recovered':
      return `descriptors are free again: ${event.refused} refused meanwhile`;
    case 'overcommitted':
      return `concurrency ${event.concurrency} and ${event.waiting} waiting need more descriptors than the process may have: ${event.limit}`;
    case 'certificate':
      return event.certificates.map(validity).join('; ') || 'certificates that cannot be read';
    case 'hoarding':
      return `connection ${event.id}: its handler keeps ${event.frames} requests, about ${event.bytes} bytes, in an operator such as concatMap or delay; use exchange, see lib/flow/BACKPRESSURE.md`;
    case 'progress':
      return progress(event);
    case 'draining':
      return `draining: ${event.active} active, ${event.waiting} waiting`;
    case 'drained':
      return `drained: ${event.drained} closed, ${event.aborted} aborted, ${event.refused} refused${lost(event.unsent)}`;
  }
}
