import { type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { printable } from '../../lib/index.ts';
import { hasColors } from './format.ts';
import { type StatusLine, statusLine } from './statusLine.ts';

/** pino's number of the level. */
const ERROR = 50;

/** Settings of {@link logger}. */
export interface LoggerOptions {
  /** The status line to print above, where the demo has one. */
  status?: StatusLine;
  /** The least level that is logged, a name of pino's. @default 'info' */
  level?: string;
  /** Whether lines for people end with the fields of what is logged, or are its sentence alone. @default true */
  fields?: boolean;
}

/**
 * A pino logger for standard output: JSON lines where it is piped, lines for people on a terminal. Both are written at
 * once while there is room, so nothing is lost when the process ends, and a reader that hangs stops nothing. What a peer has
 * sent reaches neither with a character that a terminal obeys.
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
    // Where the fields are hidden, what went wrong would be as well.
    ...(fields ? {} : { messageFormat: whole }),
  });
  // Before it gets its colours: those are escape sequences, too.
  const harmless = (line: string): object => JSON.parse(line, (_key, value) => harmlessValue(value));
  // Without fields the line comes without its end.
  return pino({ level }, { write: (line: string) => status.print(`${pretty(harmless(line))?.trimEnd()}\n`) });
}

/** A newline of a peer's would begin a line that looks like one of ours. */
const harmlessValue = (value: unknown): unknown =>
  typeof value === 'string' ? printable(value).replaceAll('\n', '\\n') : value;

/** The sentence of what is logged, and behind that of an error its cause. */
function whole({ level, err, msg }: Record<string, unknown>): string {
  const cause = err instanceof Object && 'message' in err ? err.message : undefined;
  return Number(level) >= ERROR && cause !== undefined ? `${msg}: ${cause}` : String(msg);
}
