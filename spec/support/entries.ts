import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const home = fileURLToPath(new URL('../..', import.meta.url));

/** An entry of the package, such as `sluice/testing`. */
export interface Entry {
  /** What a program imports. */
  readonly specifier: string;
  /** The name of its files, such as `testing`. */
  readonly name: string;
  /** The path of its source without extension, from `lib`, such as `testing/index`. */
  readonly path: string;
}

/** Every entry that `exports` of package.json names, so that a new one needs no line here. */
export async function readEntries(): Promise<Entry[]> {
  const { name: library, exports } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'));
  const entries = Object.entries<{ readonly types?: string }>(exports).flatMap(([subpath, { types }]) => {
    const path = types?.match(/^\.\/dist\/(.*)\.d\.ts$/)?.[1];
    if (path === undefined) return [];
    return [{ specifier: join(library, subpath), name: subpath === '.' ? 'index' : subpath.slice(2), path }];
  });
  return entries.filter(({ path }) => existsSync(join(home, `lib/${path}.ts`)));
}
