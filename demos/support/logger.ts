import { type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { printable } from '../../lib/index.ts';
import { hasColors } from './format.ts';
import { type StatusLine, statusLine } from './statusLine.ts';

/** pino's number for the level `error`. */
const ERROR = 50;

/** Settings of {@link logger}. */
export interface LoggerOptions {
  /** The status line of the demo, if it has one: log lines are printed above it. */
  status?: StatusLine;
  /** The lowest level that is logged, by pino's name. @default 'info' */
  level?: string;
  /** Whether a line on a terminal ends with the fields of the record; otherwise it is the message alone. @default true */
  fields?: boolean;
}

/**
 * A pino logger for standard output: JSON lines where that is piped, readable lines on a terminal. Both are written
 * synchronously while there is room, so nothing is lost when the process exits. A reader that hangs does not block the demo.
 * Control characters in data from a peer are escaped in both, because a terminal would execute them.
 */
export function logger(options: LoggerOptions = {}): Logger {
  const { status = statusLine(), level = 'info', fields = true } = options;
  if (!status.live) return pino({ level }, { write: (line: string) => status.print(printable(line)) });
  const pretty = prettyFactory({
    colorize: hasColors(),
    ignore: 'pid,hostname',
    singleLine: true,
    hideObject: !fields,
    translateTime: 'SYS:HH:MM:ss.l',
    // Hiding the fields hides the error with them, so the message of its cause is appended.
    ...(fields ? {} : { messageFormat: whole }),
  });
  // Values are escaped before the line is coloured, because colours are escape sequences, too.
  const harmless = (line: string): object => JSON.parse(line, (_key, value) => harmlessValue(value));
  // pino-pretty omits the final newline when fields are hidden, so it is always replaced by ours.
  return pino({ level }, { write: (line: string) => status.print(`${pretty(harmless(line))?.trimEnd()}\n`) });
}

/** Escapes newlines as well: text from a peer could otherwise begin a line that looks like a log line of ours. */
const harmlessValue = (value: unknown): unknown =>
  typeof value === 'string' ? printable(value).replaceAll('\n', '\\n') : value;

/** The message of a record; for an error, followed by the message of its cause. */
function whole({ level, err, msg }: Record<string, unknown>): string {
  const cause = err instanceof Object && 'message' in err ? err.message : undefined;
  return Number(level) >= ERROR && cause !== undefined ? `${msg}: ${cause}` : String(msg);
}
