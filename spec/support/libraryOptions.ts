import { readFile } from 'node:fs/promises';

/** An option of the library, as its doc-comment tells it. */
export interface LibraryOption {
  /** With the name of what it is part of: `waiting.max`. */
  readonly name: string;
  /** What stands behind `@default`, without quotes; empty if nothing does. */
  readonly preset: string;
}

/** Every option of `serve`, those of `listen` and of connections among them, read from the source. */
export async function libraryOptions(): Promise<LibraryOption[]> {
  const bodies = await Promise.all([
    interfaceBody('lib/serve.ts', 'ServeOptions'),
    interfaceBody('lib/listen/listen.ts', 'ListenOptions'),
    interfaceBody('lib/connection/settings.ts', 'ConnectionOptions'),
  ]);
  return bodies.flatMap(fields);
}

async function interfaceBody(file: string, name: string): Promise<string> {
  const source = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8');
  const body = source.match(new RegExp(`^export interface ${name}\\b[\\s\\S]*?^}`, 'm'))?.[0];
  if (body === undefined) throw new Error(`There is no interface ${name} in ${file}`);
  return body;
}

/** Fields stand two spaces in, fields of fields four. */
function fields(body: string): LibraryOption[] {
  const found: LibraryOption[] = [];
  let outer = '';
  for (const [, comment = '', margin = '', name = '', opens] of body.matchAll(
    /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*?\n( +)readonly (\w+)\?:( \{$|\n)?/gm,
  )) {
    const preset = comment.match(/@default ([^\n]*?)\s*$/m)?.[1] ?? '';
    if (margin.length === 2) outer = name;
    if (opens === undefined)
      found.push({ name: margin.length > 2 ? `${outer}.${name}` : name, preset: preset.replace(/^'(.*)'$/, '$1') });
  }
  return found;
}
