import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstLine, succeed } from './command.ts';

/** A Node program, and its version as it prints it. */
export interface NodeProgram {
  readonly path: string;
  readonly version: string;
}

/** The Node that runs the bench and its load. */
export const ownNode: NodeProgram = { path: process.execPath, version: process.version };

const cache = fileURLToPath(new URL('../dist', import.meta.url));

/**
 * The Node that runs the servers.
 *
 * @param name A release, such as `26` or `26.1.0`, or the path of a program. @default the Node of the bench
 * @param folder Where releases are kept. A release that is there is not installed again.
 * @throws Error with a sentence if there is no such release or program.
 */
export async function nodeFor(name?: string, folder = cache): Promise<NodeProgram> {
  if (name === undefined) return ownNode;
  const path = isRelease(name) ? await install(name, folder) : resolve(name);
  const version = await versionOf(path);
  if (version === undefined) throw new Error(`Cannot run the servers: "${path}" is not a Node program`);
  return { path, version };
}

/** Releases of Node are packages of the npm registry, with the program of one platform each. */
async function install(release: string, cache: string): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(cache, `node-${release}`);
  const path = join(folder, 'node_modules', name, 'bin/node');
  // An installation that was interrupted leaves a program that does not run.
  if ((await versionOf(path)) !== undefined) return path;
  await mkdir(folder, { recursive: true });
  try {
    const quiet = ['--silent', '--no-save', '--no-audit', '--no-fund'];
    await succeed('npm', ['install', ...quiet, '--prefix', folder, `${name}@${release}`]);
  } catch (error) {
    throw new Error(`Cannot run the servers: npm cannot install Node ${release} (the package ${name}@${release})`, {
      cause: error,
    });
  }
  return path;
}

const isRelease = (name: string) => /^\d+(\.\d+){0,2}$/.test(name);

/** The version that a Node program prints; undefined if it is another program, or none. */
async function versionOf(path: string): Promise<string | undefined> {
  const line = await firstLine(path, ['--version']).catch(() => undefined);
  return line !== undefined && /^v\d+\.\d+\.\d+/.test(line) ? line : undefined;
}
