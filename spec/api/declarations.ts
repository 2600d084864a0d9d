import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Entry, home, readEntries } from '../support/entries.ts';

const run = promisify(execFile);

/** The declarations of the library, in a folder of their own, because `dist` may be built anew meanwhile. */
export class Declarations {
  readonly folder: string;
  readonly entries: readonly Entry[];

  private constructor(folder: string, entries: readonly Entry[]) {
    this.folder = folder;
    this.entries = entries;
  }

  static async build(): Promise<Declarations> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-api-'));
    await symlink(join(home, 'node_modules'), join(folder, 'node_modules'));
    await copyFile(join(home, 'package.json'), join(folder, 'package.json'));
    const options = ['--emitDeclarationOnly', '--sourceMap', 'false', '--inlineSources', 'false'];
    const args = ['-p', 'tsconfig.build.json', ...options, '--outDir', join(folder, 'dist')];
    await run(join(home, 'node_modules/.bin/tsc'), args, { cwd: home });
    return new Declarations(folder, await readEntries());
  }

  /** The path of the declarations of an entry. */
  fileOf({ path }: Entry): string {
    return join(this.folder, `dist/${path}.d.ts`);
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }
}
