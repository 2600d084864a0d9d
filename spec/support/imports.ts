import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = fileURLToPath(new URL('../..', import.meta.url));

/** Each file with the files that it imports, as paths from the repository's root. */
export type Imports = ReadonlyMap<string, readonly string[]>;

/** The imports of all source files in a folder of the repository. */
export async function importsOf(folder: string): Promise<Imports> {
  const names = await readdir(join(home, folder), { recursive: true });
  const files = names.filter((name) => /\.[jt]s$/.test(name)).map((name) => posix.join(folder, name));
  const texts = await Promise.all(files.map((file) => readFile(join(home, file), 'utf8')));
  return new Map(files.map((file, i) => [file, importsIn(file, texts[i] ?? '')]));
}

/**
 * The relative imports of one file. An import of types counts as well, because it ties two files for a reader.
 *
 * The formatter begins each declaration at the start of a line, where no line of a comment begins with `import` or
 * `export`. Between that word and the path a declaration has no quote, no semicolon and no equals sign.
 */
export function importsIn(file: string, text: string): string[] {
  const declared = text.matchAll(/^(?:import|export)\b[^;'"`=]*?['"](\.[^'"]*)['"]/gm);
  const called = text.matchAll(/\bimport\(\s*['"](\.[^'"]*)['"]\s*\)/g);
  const paths = [...declared, ...called].map(([, path = '']) => posix.join(file, '..', path));
  return [...new Set(paths)];
}

/** Circles of files that import each other, each file once named at its start and its end: `[a, b, a]`. A chain has none. */
export function circlesIn(imports: Imports): string[][] {
  const found: string[][] = [];
  const drawn = new Set<string>();
  for (const file of imports.keys()) {
    if (drawn.has(file)) continue;
    const circle = wayBack(imports, file);
    if (circle === undefined) continue;
    found.push(circle);
    for (const other of circle) drawn.add(other);
  }
  return found;
}

/** The shortest way from a file over its imports back to it. */
function wayBack(imports: Imports, file: string): string[] | undefined {
  const ways = [[file]];
  const seen = new Set<string>();
  for (const way of ways) {
    for (const next of imports.get(way.at(-1) ?? '') ?? []) {
      if (next === file) return [...way, file];
      if (!seen.has(next)) ways.push([...way, next]);
      seen.add(next);
    }
  }
  return undefined;
}
