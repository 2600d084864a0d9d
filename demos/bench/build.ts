import { cp } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Peer } from './peers.ts';
import { succeed } from './proc/command.ts';
import { ownNode } from './proc/node.ts';
import type { Runner } from './rounds.ts';

/** The peers that can run. */
export interface Builds {
  readonly runners: readonly Runner[];
  /** The version of each peer, by its name. */
  readonly versions: Readonly<Record<string, string>>;
  /** Why a peer cannot run, by its name. */
  readonly absent: Readonly<Record<string, string>>;
}

/** Compiles the TypeScript of the load and the servers, then builds the program of each server, on this `node`. */
export async function buildAll(peers: readonly Peer[], node = ownNode): Promise<Builds> {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
  const project = fileURLToPath(new URL('tsconfig.json', import.meta.url));
  await succeed(process.execPath, [join(dirname(manifest), 'bin/tsc'), '-p', project]);
  await copyPage();
  const runners: Runner[] = [];
  const versions: Record<string, string> = {};
  const absent: Record<string, string> = {};
  for (const peer of peers) {
    const built = await peer.build(node);
    if ('missing' in built) {
      absent[peer.name] = built.missing;
    } else {
      const { version, ...program } = built;
      versions[peer.name] = version;
      runners.push({ peer, program });
    }
  }
  return { runners, versions, absent };
}

/** What `npm run build` does for the package: the files of the live page are beside the code that serves them. */
async function copyPage(): Promise<void> {
  const at = (path: string) => new URL(path, import.meta.url);
  const page = at('dist/lib/admin/page/');
  await cp(at('../../lib/admin/page/'), page, { recursive: true });
  for (const [from, to] of [
    ['uPlot.iife.min.js', 'uplot.js'],
    ['uPlot.min.css', 'uplot.css'],
  ] as const) {
    await cp(at(`../../node_modules/uplot/dist/${from}`), new URL(to, page));
  }
}
