import { parseArgs } from 'node:util';
import type { PortOptions } from '../support/index.ts';

/** The settings on the command line. */
export interface Settings {
  /** Print the usage or the version, and exit. */
  readonly show: 'help' | 'version' | undefined;
  /** Where to listen. A host of `undefined` means every address. */
  readonly listen: readonly { readonly host: string | undefined; readonly port: number }[];
  /** The path of a unix socket to listen on instead. */
  readonly path: string | undefined;
  /** Connections served at once. */
  readonly maxConnections: number;
  /** Whether connections above that are closed at once, or up to `backlog` of them wait. */
  readonly overflow: 'refuse' | 'wait';
  /** Connections that may wait. */
  readonly backlog: number;
  /** What all items may take together, in bytes. */
  readonly memory: number;
  /** What one item may take, in bytes. */
  readonly maxItem: number;
  /** Whether old items are evicted for new ones. */
  readonly evictions: boolean;
  /** How long a connection may be silent, in milliseconds. `Infinity` for no limit. */
  readonly idleTimeout: number;
  /** Whether `flush_all` is allowed. */
  readonly flushing: boolean;
  /** Whether `shutdown` is allowed. */
  readonly shutdown: boolean;
  /** TLS, and proxies in front. */
  readonly portOptions: PortOptions;
  /** How much to log: 0 to 3. */
  readonly verbosity: number;
  /** The given flags that have no effect here. */
  readonly ignored: readonly string[];
}

/** The command line has an unknown flag or an impossible value. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const MEBIBYTE = 1024 * 1024;
const FLAGS = {
  port: { type: 'string', short: 'p' },
  listen: { type: 'string', short: 'l', multiple: true },
  // The same flag as in every demo.
  host: { type: 'string', multiple: true },
  'unix-socket': { type: 'string', short: 's' },
  'conn-limit': { type: 'string', short: 'c' },
  'listen-backlog': { type: 'string', short: 'b' },
  'memory-limit': { type: 'string', short: 'm' },
  'max-item-size': { type: 'string', short: 'I' },
  'disable-evictions': { type: 'boolean', short: 'M' },
  'disable-flush-all': { type: 'boolean', short: 'F' },
  'enable-shutdown': { type: 'boolean', short: 'A' },
  extended: { type: 'string', short: 'o', multiple: true },
  verbose: { type: 'boolean', short: 'v', multiple: true },
  // The same flags as in every demo.
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'tls-ca': { type: 'string' },
  'tls-self-signed': { type: 'boolean' },
  'proxy-from': { type: 'string', multiple: true },
  admin: { type: 'string' },
  version: { type: 'boolean', short: 'V' },
  help: { type: 'boolean', short: 'h' },
  // The flags below configure the inside of the original, which is different here: there is one thread, and no UDP.
  threads: { type: 'string', short: 't' },
  user: { type: 'string', short: 'u' },
  'udp-port': { type: 'string', short: 'U' },
} as const;
const IGNORED = ['threads', 'user', 'udp-port'] as const;

/**
 * Reads the flags of memcached, as far as they have a meaning here.
 *
 * @param args The command line after the program's name.
 * @throws UsageError for a flag that is unknown or has an impossible value.
 */
export function readOptions(args: readonly string[]): Settings {
  const values = parse(args);
  const port = whole(values.port ?? '11211', '-p', 0, 65535);
  const memory = whole(values['memory-limit'] ?? '64', '-m', 1, 2 ** 32) * MEBIBYTE;
  const maxItem = size(values['max-item-size'] ?? '1m');
  if (maxItem > memory / 2) throw new UsageError(`-I ${maxItem}: an item may take at most half of the memory of -m`);
  if (whole(values['udp-port'] ?? '0', '-U', 0, 65535) > 0) throw new UsageError('-U: UDP is not supported');
  return {
    show: values.help ? 'help' : values.version ? 'version' : undefined,
    listen: addresses([...(values.listen ?? []), ...(values.host ?? [])], port),
    path: values['unix-socket'],
    maxConnections: whole(values['conn-limit'] ?? '1024', '-c', 1, 2 ** 31 - 1),
    backlog: whole(values['listen-backlog'] ?? '1024', '-b', 1, 2 ** 31 - 1),
    memory,
    maxItem,
    evictions: values['disable-evictions'] !== true,
    flushing: values['disable-flush-all'] !== true,
    shutdown: values['enable-shutdown'] === true,
    portOptions: portOptions(values),
    verbosity: Math.min(3, values.verbose?.length ?? 0),
    ignored: IGNORED.filter((name) => values[name] !== undefined).map((name) => `-${FLAGS[name].short}`),
    ...extended(values.extended ?? []),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** The flags that every demo has. */
function portOptions(values: ReturnType<typeof parse>): PortOptions {
  const { 'tls-cert': tlsCert, 'tls-key': tlsKey, 'tls-ca': tlsCa } = values;
  const { 'tls-self-signed': tlsSelfSigned, 'proxy-from': proxyFrom } = values;
  return {
    ...(tlsCert === undefined ? {} : { tlsCert }),
    ...(tlsKey === undefined ? {} : { tlsKey }),
    ...(tlsCa === undefined ? {} : { tlsCa }),
    ...(tlsSelfSigned === undefined ? {} : { tlsSelfSigned }),
    ...(proxyFrom === undefined ? {} : { proxyFrom }),
    ...(values.admin === undefined ? {} : { admin: whole(values.admin, '--admin', 0, 65535) }),
  };
}

/** The sub-options of `-o`, separated by commas. */
function extended(lists: readonly string[]): Pick<Settings, 'idleTimeout' | 'overflow'> {
  let idleTimeout = Number.POSITIVE_INFINITY;
  let overflow: Settings['overflow'] = 'refuse';
  for (const option of lists.flatMap((list) => list.split(','))) {
    const [name, value] = option.split('=', 2);
    if (name === 'idle_timeout') {
      const seconds = whole(value ?? '', '-o idle_timeout', 0, 2 ** 31 - 1);
      idleTimeout = seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
    } else if (name === 'maxconns_fast') overflow = 'refuse';
    else if (name === 'no_maxconns_fast') overflow = 'wait';
    else throw new UsageError(`-o ${name}: unknown sub-option`);
  }
  return { idleTimeout, overflow };
}

/** Addresses separated by commas, each with an optional port. */
function addresses(lists: readonly string[], port: number): Settings['listen'] {
  const words = lists.flatMap((list) => list.split(',')).filter(Boolean);
  if (words.length === 0) return [{ host: undefined, port }];
  return words.map((word) => {
    // A port follows a name, an IPv4 address, or brackets. The last colon of a bare IPv6 address belongs to the address.
    const [, bracketed, name, ownPort] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(word) ?? [];
    const host = bracketed ?? name ?? word;
    return {
      host: host === '*' ? undefined : host,
      port: ownPort === undefined ? port : whole(ownPort, `-l ${word}`, 0, 65535),
    };
  });
}

/** A number of bytes, with `k` or `m` for kibibytes or mebibytes. */
function size(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+)([km]?)$/i.exec(text) ?? [];
  const factor = { k: 1024, m: MEBIBYTE }[unit.toLowerCase()] ?? 1;
  const bytes = digits === '' ? Number.NaN : Number(digits) * factor;
  if (!(bytes >= 1024 && bytes <= 1024 * MEBIBYTE)) throw new UsageError(`-I ${text}: an item may take 1k to 1024m`);
  return bytes;
}

function whole(text: string, flag: string, least: number, most: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`${flag} ${text}: a whole number from ${least} to ${most} is needed`);
}
