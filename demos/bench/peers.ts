import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Mode, Protocol } from './load/job.ts';
import { type Watch, watch } from './operated/watch.ts';
import { firstLine, succeed } from './proc/command.ts';
import type { NodeProgram } from './proc/node.ts';

/** How a server is started. The bench's own servers have the options `--mode` and `--host`, and print their address. */
export interface Program {
  /** The command line. A function of a free port for a server that cannot choose one itself. */
  readonly command: readonly string[] | ((port: number) => readonly string[]);
  /** The line that such a server prints when it listens. */
  readonly ready?: RegExp;
  /** Environment variables that the server has besides those of the bench. */
  readonly env?: Readonly<Record<string, string>>;
  /** What to do with the server while it is measured: watch its admin port, whose address it prints before the other line. */
  readonly watch?: (url: string) => Promise<Watch>;
}

/** A server program that can run, or the reason why it cannot. */
export type Built = (Program & { readonly version: string }) | { readonly missing: string };

/** One of the servers that are compared. */
export interface Peer {
  /** Its name for `--peer`. */
  readonly name: string;
  readonly title: string;
  /** The modes that it supports. */
  readonly modes: readonly Mode[];
  readonly protocol: Protocol;
  /** Builds the program, once a run. A server in JavaScript runs on this `node`. */
  readonly build: (node: NodeProgram) => Promise<Built>;
  /** Whether it is measured only when `--peer` names it. @default false */
  readonly isExtra?: boolean;
}

const every: readonly Mode[] = ['echo', 'lines', 'once', 'length-prefixed', 'discard', 'source'];
const inNode: readonly Mode[] = [...every, 'async'];
const inSluice: readonly Mode[] = [...inNode, 'tls'];
const redis: readonly Mode[] = ['redis-set', 'redis-get'];

/** The servers in the order in which they are measured. To add a Node server, add a file in `peers` and a line here. */
export const peers: readonly Peer[] = [
  node('sluice', 'Sluice', inSluice),
  node('sluice-net', 'Sluice, documented API', inSluice, { of: 'sluice', env: { SLUICE_TRANSPORT: 'net' } }),
  node('sluice-operated', 'Sluice, watched by an operator', inSluice, {
    of: 'sluice',
    env: { SLUICE_OPERATED: '1' },
    watch,
  }),
  node('net', 'node:net, a write per reply', inNode),
  node('net-corked', 'node:net, corked by hand', ['lines', 'length-prefixed']),
  node('net-joined', 'node:net, one string a read', ['lines']),
  node('tls', 'node:tls, a write per reply', ['tls']),
  node('rxjs', 'Plain RxJS', inNode, { uses: 'rxjs' }),
  node('handle', 'Node handle alone (floor)', ['echo', 'lines', 'once', 'length-prefixed']),
  { name: 'go', title: 'Go', modes: [...every, 'tls'], protocol: 'plain', build: buildGo },
  { name: 'c', title: 'C, epoll, one buffer (floor)', modes: every, protocol: 'plain', build: buildC },
  { name: 'nest', title: 'NestJS (own protocol)', modes: ['echo', 'lines'], protocol: 'nest', build: findNest },
  { name: 'redis', title: 'Redis', modes: redis, protocol: 'plain', build: findRedis },
  node('sluice-redis', 'Sluice, demos/redis', redis),
];

/** How a TypeScript server differs from the others. */
interface Variant {
  /** The server whose program it runs. @default its own name */
  readonly of?: string;
  /** The package whose version matters. */
  readonly uses?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** As in {@link Program}. Such a server is measured only when it is named, because it needs a browser. */
  readonly watch?: Program['watch'];
}

/** A TypeScript server. It is compiled first, so that it runs in plain Node without a loader. */
function node(
  name: string,
  title: string,
  modes: readonly Mode[],
  { of = name, uses, env = {}, watch }: Variant = {},
): Peer {
  const build = async (on: NodeProgram): Promise<Built> => ({
    command: [on.path, here(`dist/demos/bench/peers/${of}.js`)],
    env,
    ...(watch && { watch }),
    version: versionOf(on, uses),
  });
  return { name, title, modes, protocol: 'plain', build, isExtra: watch !== undefined };
}

async function buildGo(): Promise<Built> {
  const version = await firstLine('go', ['version']);
  if (version === undefined) return { missing: 'there is no go on the PATH' };
  const program = here('dist/go-server');
  await succeed('go', ['build', '-o', program, here('peers/go/main.go')]);
  return { command: [program], version };
}

async function buildC(): Promise<Built> {
  const version = await firstLine('cc', ['--version']);
  if (version === undefined) return { missing: 'there is no cc on the PATH' };
  const program = here('dist/c-server');
  await succeed('cc', ['-O2', '-Wall', '-Wextra', '-o', program, here('peers/epoll.c')]);
  return { command: [program], version };
}

async function findNest(on: NodeProgram): Promise<Built> {
  const needed = ['@nestjs/common', '@nestjs/core', '@nestjs/microservices', 'reflect-metadata'];
  const absent = needed.filter((name) => !isInstalled(name));
  if (absent.length > 0) return { missing: `not installed: ${absent.join(', ')}` };
  return {
    command: [on.path, here('peers/nest.js')],
    version: versionOf(on, '@nestjs/microservices'),
  };
}

async function findRedis(): Promise<Built> {
  const version = await firstLine('redis-server', ['--version']);
  if (version === undefined) return { missing: 'there is no redis-server on the PATH' };
  // Without persistence, because our Redis demo runs without it here, too.
  const quiet = ['--bind', '0.0.0.0', '--protected-mode', 'no', '--save', '', '--appendonly', 'no'];
  return {
    command: (port) => ['redis-server', '--port', String(port), ...quiet],
    ready: /Ready to accept connections/,
    version: version.split(' ').slice(0, 3).join(' '),
  };
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return false;
    throw error;
  }
}

/** The release of Node that runs a server, and the version of the package that it uses. */
function versionOf(on: NodeProgram, uses?: string): string {
  const release = `node ${on.version}`;
  if (uses === undefined) return release;
  const manifest = createRequire(import.meta.url)(`${uses}/package.json`) as { version: string };
  return `${uses} ${manifest.version}, ${release}`;
}

function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}
