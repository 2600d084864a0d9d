import { type Command, Option } from 'commander';
import type { Overrun, ServeOptions } from '../../lib/index.ts';
import { type PortOptions, subnet } from './portOptions.ts';
import { type NumberRange, numberOption } from './program.ts';

/** The options that {@link serverOptions} adds to a demo's command line. Times are in milliseconds, sizes in bytes. */
export interface ServerLimits {
  concurrency: number;
  waiting: number;
  order: 'fifo' | 'newest' | 'adaptive';
  overflow: 'refuse' | 'park' | 'evict';
  perAddress?: number;
  accepts: number;
  burst?: number;
  acceptsPerAddress?: number;
  ramp: number;
  allow?: readonly string[];
  deny?: readonly string[];
  farewell?: string;
  backlog: number;
  wait: number;
  handshake: number;
  greeting: number;
  idle: number;
  frame: number;
  reply: number;
  stall: number;
  paceIn: number;
  paceOut: number;
  paceGrace: number;
  lifetime: number;
  jitter: number;
  report: number;
  keepAlive: number;
  highWater: number;
  maxOutbound: number;
  overrun: Overrun;
  budget?: number;
  announce: number;
  grace: number;
  spread: number;
  lastCall?: string;
  linger: number;
  halfOpen: boolean;
}

/**
 * Adds every limit and deadline of `serve` to a command line, with the library's defaults. A spec compares the defaults here
 * with those of the library.
 *
 * @param presets Defaults that differ, where the demo's protocol needs them.
 */
export function serverOptions(command: Command, presets: Partial<ServerLimits> = {}): Command {
  const add = (flags: string, description: string, range: NumberRange) => {
    const name = flags.replace(/^--(\S+).*/, '$1').replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    const preset = presets[name as keyof ServerLimits];
    return numberOption(
      command,
      flags,
      description,
      typeof preset === 'number' ? { ...range, default: preset } : range,
    );
  };
  const time = (name: string, description: string, preset: number, min = 0) =>
    add(`--${name} <ms>`, description, { min, max: Number.POSITIVE_INFINITY, default: preset, whole: false });
  const choice = (flags: string, description: string, choices: readonly string[], preset: string) =>
    command.addOption(new Option(flags, description).choices(choices).default(preset));
  const many = 1_000_000;
  const much = Number.MAX_SAFE_INTEGER;

  command.optionsGroup('Connections:');
  add('--concurrency <count>', 'served at once; any more wait', { min: 1, max: many, default: 1000 });
  add('--waiting <count>', 'that may wait', { min: 0, max: many, default: 1000 });
  choice('--order <order>', 'in which they are served', ['fifo', 'newest', 'adaptive'], 'fifo');
  choice('--overflow <policy>', 'for those for which there is no place', ['refuse', 'park', 'evict'], 'refuse');
  add('--per-address <count>', 'from one address; by default it gives way above 100, and a tenth', {
    min: 1,
    max: Number.POSITIVE_INFINITY,
  });
  const networks = (name: string, description: string) =>
    command.addOption(
      new Option(`--${name} <networks...>`, description).argParser((text, before: readonly string[] = []) => [
        ...before,
        subnet(text) ?? command.error(`--${name} must be addresses such as 10.0.0.0/8 or ::1, and not '${text}'`),
      ]),
    );
  networks('allow', 'addresses and networks to serve, and no others');
  networks('deny', 'addresses and networks to refuse');
  add('--accepts <count>', 'accepted in a second', {
    min: 0,
    max: Number.POSITIVE_INFINITY,
    default: Number.POSITIVE_INFINITY,
    whole: false,
  });
  add('--burst <count>', 'accepted at once after a pause (default: as many as in a second)', { min: 1, max: many });
  add('--accepts-per-address <count>', 'accepted in a second from one address', { min: 0, max: many, whole: false });
  time('ramp', 'in which the rate grows from nothing after the start, in ms', 0);
  command.option('--farewell <line>', 'line that a refused connection is sent');
  add('--backlog <count>', 'that the kernel may queue', { min: 1, max: 0x7fffffff, default: 4096 });

  command.optionsGroup('Deadlines, in milliseconds, or Infinity for none:');
  time('wait', 'to be served, once accepted', 5000);
  time('handshake', 'to be secured by TLS, once accepted', 10_000, 1);
  time('greeting', 'for the first byte', 10_000, 1);
  time('idle', 'without a byte in or out', 30_000, 1);
  time('frame', 'for a request that has begun', 10_000, 1);
  time('reply', 'for the work on a request', 60_000, 1);
  time('stall', 'for the peer to read any output', 10_000, 1);
  time('pace-grace', 'during which a peer may be slower than the pace', 10_000, 1);
  time('lifetime', 'for a whole connection', Number.POSITIVE_INFINITY, 1);
  add('--jitter <share>', 'random share of the lifetime', { min: 0, max: 1, default: 0.1, whole: false });
  time('report', 'after which a connection that lasts is reported, each time', Number.POSITIVE_INFINITY, 1);
  time('keep-alive', 'before the kernel probes the peer', 60_000);

  command.optionsGroup('Minimum pace, in bytes a second, or 0 for none:');
  add('--pace-in <bytes>', 'of sending a request that has begun', { min: 0, max: much, default: 240, whole: false });
  add('--pace-out <bytes>', 'of reading pending output; with 0, only --stall applies', {
    min: 0,
    max: much,
    default: 240,
    whole: false,
  });

  command.optionsGroup('Memory, in bytes:');
  add('--high-water <bytes>', 'unsent, at which the input pauses', { min: 1, max: much, default: 65_536 });
  add('--max-outbound <bytes>', 'unsent, at which --overrun applies', { min: 1, max: much, default: 1_048_576 });
  command.addOption(
    new Option('--overrun <policy>', 'applied at --max-outbound')
      .choices(['disconnect', 'drop-oldest', 'drop-newest'])
      .default('disconnect'),
  );
  add('--budget <bytes>', 'of all connections (default: a quarter of the heap, or of what a cgroup leaves)', {
    min: 1,
    max: much,
  });

  command.optionsGroup('Shutdown and close, in milliseconds:');
  time('announce', 'during which the port stays open after the signal', 0);
  time('grace', 'for connections to finish; then they are aborted', 10_000);
  add('--spread <ms>', 'over which connections are asked to finish, one by one', {
    min: 0,
    max: much,
    default: 0,
    whole: false,
  });
  command.option('--last-call <line>', 'line that a connection is sent when it has finished');
  time('linger', 'during which input is read after our FIN', 1000);
  command.option('--no-half-open', "close a connection after the peer's FIN, once its requests are answered");
  return command;
}

/** Converts them to the library's options, without those of the port. The caller removes the demo's own options first. */
export function serverLimits(given: ServerLimits & PortOptions): ServeOptions {
  const { tlsCert, tlsKey, tlsCa, tlsSelfSigned, proxyFrom, admin, ...limits } = given;
  const { waiting, wait, order, perAddress, accepts, burst, acceptsPerAddress, ramp, ...others } = limits;
  const { farewell, lastCall, highWater, keepAlive, paceIn, paceOut, paceGrace, ...same } = others;
  return {
    ...same,
    waiting: { max: waiting, timeout: wait, order },
    ...(perAddress !== undefined && { perAddress: { connections: perAddress } }),
    accepts: {
      perSecond: accepts,
      burst,
      perAddress: acceptsPerAddress === undefined ? undefined : { perSecond: acceptsPerAddress },
      ramp,
    },
    pace: { in: paceIn, out: paceOut, grace: paceGrace },
    highWaterMark: highWater,
    keepAlive: keepAlive === Number.POSITIVE_INFINITY ? false : keepAlive,
    ...(farewell === undefined ? {} : { farewell: `${farewell}\n` }),
    ...(lastCall === undefined ? {} : { lastCall: () => `${lastCall}\n` }),
  };
}
