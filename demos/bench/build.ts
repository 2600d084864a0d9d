import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Peer } from './peers.ts';
import { succeed } from './proc/command.ts';
import type { Runner } from './rounds.ts';

/** What could be built, what it is, and what is not there and why; the last two by the name of the peer. */
export interface Builds {
  readonly runners: readonly Runner[];
  readonly versions: Readonly<Record<string, string>>;
  readonly absent: Readonly<Record<string, string>>;
}

/** Compiles the TypeScript of the load and the servers, then makes each server's program. */
export async function buildAll(peers: readonly Peer[]): Promise<Builds> {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
  const project = fileURLToPath(new URL('tsconfig.json', import.meta.url));
  await succeed(process.execPath, [join(dirname(manifest), 'bin/tsc'), '-p', project]);
  const runners: Runner[] = [];
  const versions: Record<string, string> = {};
  const absent: Record<string, string> = {};
  for (const peer of peers) {
    const built = await peer.build();
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
