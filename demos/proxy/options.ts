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

  command.option('--backend <host:port>', 'a server to connect to; can be repeated', backends);
  command.option('--proxy-protocol', 'send the client address to backends (version 2)');
  amount('--concurrency', 'clients at once; any more wait', 1000);
  amount('--max-per-backend', 'clients of one backend at once', many);
  time('--wait', 'that a client may wait while all are full', 5000);
  time('--connect-timeout', 'to connect; then the next backend is tried', 2000, 1);
  time('--idle', 'without a byte in or out', 600_000, 1);
  time('--stall', 'for either side to read any output', 600_000, 1);
  time('--grace', 'to finish in a drain; then they are aborted', 10_000);
  time('--pause', 'of silence at which a drain closes a client', 200);

  command.optionsGroup('Health:');
  time('--check-interval', 'from one check to the next', 2000, 1);
  time('--check-timeout', 'for the answer', 1000, 1);
  command.option('--check-ask <text>', 'bytes to send, such as PING\\r\\n', unescaped);
  command.option('--check-expect <text>', 'prefix that the answer must have', unescaped);
  amount('--fall', 'failures in a row until a backend is down', 3);
  amount('--rise', 'checks in a row until it is up again', 2);
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

/** Replaces escapes such as `\r\n`, because control characters are hard to type in a shell. */
const unescaped = (text: string): string =>
  text.replace(/\\([rnt0\\])/g, (_all, letter: string) => ESCAPES[letter] ?? '');
