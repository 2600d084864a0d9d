import { readFile } from 'node:fs/promises';

/** An option of the library, as its doc comment describes it. */
export interface LibraryOption {
  /** Its full name, such as `waiting.max`. */
  readonly name: string;
  /** The text after `@default`, without quotes; empty if there is none. */
  readonly preset: string;
}

/** Every option of `serve`, including those of `listen` and of connections, read from the source. */
export async function libraryOptions(): Promise<LibraryOption[]> {
  const bodies = await Promise.all([
    interfaceBody('lib/serve.ts', 'ServeOptions'),
    interfaceBody('lib/listen/listenOptions.ts', 'ListenOptions'),
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

/**
 * Fields are indented by two spaces, and fields of fields by eight. What is indented by more are the parts of one value, such as the
 * bits of an IPv4 address: that value has a default itself.
 */
function fields(body: string): LibraryOption[] {
  const found: LibraryOption[] = [];
  let outer = '';
  for (const [, comment = '', margin = '', name = '', opens] of body.matchAll(
    /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*?\n( +)readonly (\w+)\??:( \{$|\n)?/gm,
  )) {
    const preset = comment.match(/@default ([^\n]*?)\s*$/m)?.[1] ?? '';
    if (margin.length > 8) continue;
    if (margin.length === 2) outer = name;
    if (opens === undefined || margin.length > 2)
      found.push({ name: margin.length > 2 ? `${outer}.${name}` : name, preset: preset.replace(/^'(.*)'$/, '$1') });
  }
  return found;
}
