import { type Command, InvalidArgumentError } from 'commander';
import { type AddressOptions, numberOption } from '../support/index.ts';

/** The proxy's command line. Times are in milliseconds. */
export interface ProxyOptions extends AddressOptions {
  backend?: readonly { readonly host: string; readonly port: number }[];
  concurrency: number;
  maxPerBackend: number;
  wait: number;
  connectTimeout: number;
  checkInterval: number;
  checkTimeout: number;
  checkAsk?: string;
  checkExpect?: string;
  fall: number;
  rise: number;
  proxyProtocol?: true;
  idle: number;
  stall: number;
  grace: number;
  pause: number;
}

/** Adds the options of {@link ProxyOptions} that not every demo has. */
export function proxyOptions(command: Command): Command {
  const many = 1_000_000;
  const time = (flags: string, description: string, preset: number, min = 0) =>
    numberOption(command, `${flags} <ms>`, description, {
      min,
      max: Number.POSITIVE_INFINITY,
      default: preset,
      whole: false,
    });
  const amount = (flags: string, description: string, preset: number) =>
    numberOption(command, `${flags} <count>`, description, { min: 1, max: many, default: preset });

  command.option('--backend <host:port>', 'where to; as often as there are', backends);
  command.option('--proxy-protocol', 'tell backends whose bytes come (version 2)');
  amount('--concurrency', 'clients at once, the others wait', 1000);
  amount('--max-per-backend', 'clients of one backend at once', many);
  time('--wait', 'a client may wait while all are full', 5000);
  time('--connect-timeout', 'for a backend to answer, then the next', 2000, 1);
  time('--idle', 'with nothing coming or going', 600_000, 1);
  time('--stall', 'for either side to take what the other sent', 600_000, 1);
  time('--grace', 'to finish in a drain, then they are aborted', 10_000);
  time('--pause', 'of silence in which a drain ends a client', 200);

  command.optionsGroup('Health:');
  time('--check-interval', 'from one check to the next', 2000, 1);
  time('--check-timeout', 'for the answer', 1000, 1);
  command.option('--check-ask <text>', 'what to ask, such as PING\\r\\n', unescaped);
  command.option('--check-expect <text>', 'what the answer must begin with', unescaped);
  amount('--fall', 'failures in a row, and it is down', 3);
  amount('--rise', 'checks in a row, and it is up again', 2);
  return command;
}

function backends(text: string, before: ProxyOptions['backend'] = []): NonNullable<ProxyOptions['backend']> {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new InvalidArgumentError('It must be host:port, such as 127.0.0.1:6379 or [::1]:6379.');
  }
  return [...before, { host, port }];
}

const ESCAPES: Record<string, string> = { r: '\r', n: '\n', t: '\t', '0': '\0', '\\': '\\' };

/** A shell makes it hard to write a line's end. */
const unescaped = (text: string): string =>
  text.replace(/\\([rnt0\\])/g, (_all, letter: string) => ESCAPES[letter] ?? '');
