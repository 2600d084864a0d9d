import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const folder = new URL('../../demos/deploy/', import.meta.url);

/** A file of `demos/deploy`. */
export const deployFile = (path: string): string => readFileSync(new URL(path, folder), 'utf8');

/** `demos/deploy/server.ts` with all that it needs, in one file, as the Dockerfile makes it. */
export async function bundledServer(): Promise<string> {
  const entryPoints = [fileURLToPath(new URL('server.ts', folder))];
  const options = { bundle: true, platform: 'node', format: 'esm', write: false, logLevel: 'silent' } as const;
  const { outputFiles } = await build({ entryPoints, ...options });
  return outputFiles[0]?.text ?? '';
}

/** The settings of a section of a unit: each with its values, in their order. */
export function settingsOf(unit: string, section: string): Map<string, string[]> {
  const settings = new Map<string, string[]>();
  let current = '';
  for (const line of unit.split('\n')) {
    const [, header] = /^\[(.*)\]$/.exec(line) ?? [];
    if (header !== undefined) current = header;
    const [, name, value = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (current === section && name !== undefined) settings.set(name, [...(settings.get(name) ?? []), value]);
  }
  return settings;
}
