import { type Command, Option } from 'commander';
import type { Overrun, ServeOptions } from '../../lib/index.ts';
import { type NumberRange, numberOption } from './program.ts';

/** What {@link serverOptions} adds to a demo's command line. Times are in milliseconds, sizes in bytes. */
export interface ServerLimits {
  concurrency: number;
  waiting: number;
  farewell?: string;
  backlog: number;
  wait: number;
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
  keepAlive: number;
  highWater: number;
  maxOutbound: number;
  overrun: Overrun;
  budget?: number;
  announce: number;
  grace: number;
  linger: number;
  halfOpen: boolean;
}

/**
 * Adds every limit and deadline of `serve` to a command line, with the library's defaults. A spec compares the two.
 *
 * @param presets Other defaults, where the demo's protocol needs them.
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
  const many = 1_000_000;
  const much = Number.MAX_SAFE_INTEGER;

  command.optionsGroup('Connections:');
  add('--concurrency <count>', 'served at once, the others wait', { min: 1, max: many, default: 1000 });
  add('--waiting <count>', 'may wait, one more is refused', { min: 0, max: many, default: 1000 });
  command.option('--farewell <line>', 'what a refused connection is told');
  add('--backlog <count>', 'may be ready in the kernel', { min: 1, max: 0x7fffffff, default: 4096 });

  command.optionsGroup('Deadlines, in milliseconds, or Infinity for none:');
  time('wait', 'to be served, once accepted', 5000);
  time('greeting', 'for the first byte', 10_000, 1);
  time('idle', 'with nothing coming or going', 30_000, 1);
  time('frame', 'for a request that has begun', 10_000, 1);
  time('reply', 'for the work on a request', 60_000, 1);
  time('stall', 'for the peer to take any output', 10_000, 1);
  time('pace-grace', 'to be slower than the pace', 10_000, 1);
  time('lifetime', 'for all of a connection', Number.POSITIVE_INFINITY, 1);
  add('--jitter <share>', 'share of the lifetime left to chance', { min: 0, max: 1, default: 0.1, whole: false });
  time('keep-alive', 'before the kernel probes the peer', 60_000);

  command.optionsGroup('The pace, in bytes a second, or 0 for none:');
  add('--pace-in <bytes>', 'to send a request that has begun', { min: 0, max: much, default: 240, whole: false });
  add('--pace-out <bytes>', 'to take output that is pending; with 0 --stall decides alone', {
    min: 0,
    max: much,
    default: 240,
    whole: false,
  });

  command.optionsGroup('Memory, in bytes:');
  add('--high-water <bytes>', 'unsent where the input pauses', { min: 1, max: much, default: 65_536 });
  add('--max-outbound <bytes>', 'unsent where --overrun acts', { min: 1, max: much, default: 1_048_576 });
  command.addOption(
    new Option('--overrun <policy>', 'when that is reached')
      .choices(['disconnect', 'drop-oldest', 'drop-newest'])
      .default('disconnect'),
  );
  add('--budget <bytes>', 'for all (default: a quarter of the heap, or of what a cgroup leaves)', {
    min: 1,
    max: much,
  });

  command.optionsGroup('The end, in milliseconds:');
  time('announce', 'still accepting after the signal', 0);
  time('grace', 'to finish, then they are aborted', 10_000);
  time('linger', 'to go on reading after our FIN', 1000);
  command.option('--no-half-open', "the peer's FIN ends the connection once it is answered");
  return command;
}

/** The same as the library wants it. What the demo has added of its own is to be taken out before. */
export function serverLimits(given: ServerLimits): ServeOptions {
  const { waiting, wait, farewell, highWater, keepAlive, paceIn, paceOut, paceGrace, ...same } = given;
  return {
    ...same,
    waiting: { max: waiting, timeout: wait },
    pace: { in: paceIn, out: paceOut, grace: paceGrace },
    highWaterMark: highWater,
    keepAlive: keepAlive === Number.POSITIVE_INFINITY ? false : keepAlive,
    ...(farewell === undefined ? {} : { farewell: `${farewell}\n` }),
  };
}
