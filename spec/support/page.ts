import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const home = fileURLToPath(new URL('../..', import.meta.url));

/** What a command printed, and the code it exited with; `undefined` after a signal. */
export interface Outcome {
  readonly code: number | undefined;
  readonly output: string;
}

/** The code of a page of the documentation, in a project outside of the repository where `sluice` is the library's source. */
export class PageCode {
  readonly folder: string;
  /** The programs of the page, in their order; `run` takes indexes of this list. */
  readonly programs: readonly string[];

  private constructor(folder: string, programs: readonly string[]) {
    this.folder = folder;
    this.programs = programs;
  }

  /** @param page Its path from the root of the repository. */
  static async of(page: string): Promise<PageCode> {
    const text = await readFile(join(home, page), 'utf8');
    const programs = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
    const folder = await mkdtemp(join(tmpdir(), 'sluice-page-'));
    await symlink(join(home, 'node_modules'), join(folder, 'node_modules'));
    const subpaths = ['admin', 'opentelemetry', 'prometheus', 'testing'];
    const paths = {
      sluice: [join(home, 'lib/index.ts')],
      ...Object.fromEntries(subpaths.map((name) => [`sluice/${name}`, [join(home, `lib/${name}/index.ts`)]])),
    };
    const options = {
      compilerOptions: { paths, rootDir: '/' },
      extends: join(home, 'tsconfig.json'),
      include: ['*.ts'],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options));
    await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    // The port that a page names may be taken on the machine that runs the specs.
    const onAnyPort = programs.map((code) => code.replace('port: 7000', 'port: 0').replace('port: 7001', 'port: 0'));
    await Promise.all(onAnyPort.map((code, i) => writeFile(join(folder, `${i}.ts`), code)));
    return new PageCode(folder, programs);
  }

  /** Compiles all programs. */
  compile(): Promise<Outcome> {
    return outcome(join(home, 'node_modules/.bin/tsc'), ['--noEmit', '-p', this.folder], this.folder);
  }

  /** Runs programs to their end, one after the other in one process, because a process takes long to start. */
  run(...indexes: readonly number[]): Promise<Outcome> {
    const imports = indexes.map((index) => `await import('./${index}.ts');`).join('\n');
    const args = ['--import', 'tsx', '--input-type=module', '--eval', imports];
    return outcome(process.execPath, args, this.folder);
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }
}

async function outcome(command: string, args: readonly string[], cwd: string): Promise<Outcome> {
  const { stdout, stderr, code = 0 } = await run(command, args, { cwd }).catch((error) => error);
  return { code, output: stdout + stderr };
}
