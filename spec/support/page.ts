import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { home, readEntries } from './entries.ts';

const run = promisify(execFile);

export { home };

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
  /** The names of the files of the page: programs whose fence names one, as in three backticks and `ts server.ts`. */
  readonly files: readonly string[];

  private constructor(folder: string, programs: readonly string[], files: readonly string[]) {
    this.folder = folder;
    this.programs = programs;
    this.files = files;
  }

  /** @param page Its path from the root of the repository. */
  static async of(page: string): Promise<PageCode> {
    const text = await readFile(join(home, page), 'utf8');
    const programs = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
    // The port that a page names may be taken on the machine that runs the specs.
    const onAnyPort = programs.map((code) => code.replace(/port: 700[01]/g, 'port: 0'));
    const named = [...text.matchAll(/^```ts (\S+\.ts)\n([\s\S]*?)^```$/gm)].map(([, name = '', code = '']) => [
      name,
      code,
    ]);
    const files = Object.fromEntries(
      named.map(([name, code = '']) => [name, code.replace(/\b7000\b/, 'Number(process.env.PORT)')]),
    );
    const { folder } = await PageCode.from(onAnyPort, files);
    return new PageCode(folder, programs, Object.keys(files));
  }

  /** @param files Further files of the project: their names, and what they contain. */
  static async from(programs: readonly string[], files: Readonly<Record<string, string>> = {}): Promise<PageCode> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-page-'));
    await symlink(join(home, 'node_modules'), join(folder, 'node_modules'));
    const entries = await readEntries();
    const paths = Object.fromEntries(entries.map(({ specifier, path }) => [specifier, [join(home, `lib/${path}.ts`)]]));
    const options = {
      // The decorators are for pages with other frameworks.
      compilerOptions: { paths, rootDir: '/', experimentalDecorators: true, emitDecoratorMetadata: true },
      extends: join(home, 'tsconfig.json'),
      include: ['*.ts'],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options));
    await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    const all = { ...files, ...Object.fromEntries(programs.map((code, i) => [`${i}.ts`, code])) };
    await Promise.all(Object.entries(all).map(([name, code]) => writeFile(join(folder, name), code)));
    return new PageCode(folder, programs, Object.keys(files));
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

  /** Runs a file to its end. */
  runFile(name: string): Promise<Outcome> {
    return outcome(process.execPath, ['--import', 'tsx', name], this.folder);
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }
}

async function outcome(command: string, args: readonly string[], cwd: string): Promise<Outcome> {
  const { stdout, stderr, code = 0 } = await run(command, args, { cwd }).catch((error) => error);
  return { code, output: stdout + stderr };
}
