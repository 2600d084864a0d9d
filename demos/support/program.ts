import { Command, Option } from 'commander';
import { paint } from './format.ts';
import { oneLine } from './reason.ts';

/** Settings of {@link program}. */
export interface ProgramOptions {
  /** @default '127.0.0.1' */
  host?: string;
  /** @default 0 */
  port?: number;
  /** Whether `--host` and `--port` are the address to connect to, instead of the one to listen on. @default false */
  connects?: boolean;
}

/** The part of `command.opts<…>()` that every demo has. */
export interface AddressOptions {
  host: string;
  port: number;
}

/**
 * A demo's command line, with `--host`, `--port` and `--help`. A wrong option prints one sentence on standard error, and the
 * exit code is 1. A demo reports its own failures the same way:
 *
 * ```ts
 * command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`);
 * ```
 *
 * @param name The name of the demo, such as `echo`.
 * @param description What the demo shows, for the help.
 */
export function program(name: string, description: string, options: ProgramOptions = {}): Command {
  const { host = '127.0.0.1', port = 0, connects = false } = options;
  const command = new Command(name)
    .description(description)
    .helpOption('-h, --help', 'show this help')
    .option('--host <address>', connects ? 'address to connect to' : 'address to listen on', host)
    // Commander prefixes its messages, and puts its suggestions on a second line.
    .configureOutput({ outputError: (text, write) => write(`${name}: ${oneLine(text.replace(/^error: /, ''))}\n`) })
    .configureHelp({
      styleTitle: (text) => paint('bold', text),
      styleOptionTerm: (text) => paint('cyan', text),
      styleCommandText: (text) => paint('bold', text),
    });
  return numberOption(command, '--port <number>', connects ? 'port to connect to' : 'port to listen on, 0 for any', {
    min: connects ? 1 : 0,
    max: 65_535,
    default: port,
  });
}

/** The range of a number on the command line. */
export interface NumberRange {
  min: number;
  max: number;
  /** The value if the option is not given. @default undefined */
  default?: number;
  /** Whether only whole numbers are valid. @default true */
  whole?: boolean;
}

/**
 * Adds an option that takes a number. The program ends with a sentence if the value is not a number, or is out of range.
 *
 * @param flags In commander's notation: `'-c, --connections <count>'`.
 * @returns The command, for chaining.
 */
export function numberOption<C extends Command>(
  command: C,
  flags: string,
  description: string,
  limits: NumberRange,
): C {
  const { min, max, default: preset, whole = true } = limits;
  const name = flags.match(/--[\w-]+/)?.[0] ?? flags;
  const parse = (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= min && value <= max && (!whole || Number.isInteger(value) || value === max)) return value;
    const range = max === Number.POSITIVE_INFINITY ? `, ${min} or more` : ` from ${min} to ${max}`;
    return command.error(`${name} must be a ${whole ? 'whole ' : ''}number${range}, and not '${text}'`);
  };
  // Described by us, because commander prints Infinity as null.
  const option = new Option(flags, description)
    .argParser(parse)
    .default(preset, preset === undefined ? undefined : String(preset));
  command.addOption(option);
  return command;
}
