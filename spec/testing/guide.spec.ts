import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const home = fileURLToPath(new URL('../..', import.meta.url));
const guide = await readFile(join(home, 'lib/testing/TESTING.md'), 'utf8');
/** The file for the code of each runner. Vitest finds only its own. */
const FILES: Record<string, string> = { '': 'marbles.ts', ' vitest': 'vitest.spec.ts', ' node:test': 'nodeTest.ts' };
const programs = [...guide.matchAll(/^```ts(| \S+)\n([\s\S]*?)^```$/gm)].map(([, runner = '', code = '']) => ({
  name: FILES[runner] ?? runner,
  code,
}));

/** A project outside of the repository, in which `sluice` is the library's source. */
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-guide-'));
  await symlink(join(home, 'node_modules'), join(folder, 'node_modules'));
  const library = { 'sluice/testing': join(home, 'lib/testing/index.ts'), sluice: join(home, 'lib/index.ts') };
  const paths = Object.fromEntries(Object.entries(library).map(([name, path]) => [name, [path]]));
  const options = { compilerOptions: { paths, rootDir: '/' }, extends: join(home, 'tsconfig.json'), include: ['*.ts'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  await writeFile(
    join(folder, 'vitest.config.mjs'),
    `export default { resolve: { alias: ${JSON.stringify(library)} } };`,
  );
  await Promise.all(programs.map(({ name, code }) => writeFile(join(folder, name), code)));
});

afterAll(() => rm(folder, { recursive: true }));

describe('the guide on testing', () => {
  it('has a program for marbles, one for Vitest and one for node:test, which the compiler accepts', async () => {
    expect(programs.map(({ name }) => name)).toEqual(Object.values(FILES));
    const tsc = await run(join(home, 'node_modules/.bin/tsc'), ['--noEmit', '-p', folder]).catch((error) => error);
    expect(tsc.stdout).toBe('');
  });

  it('has marbles that match', async () => {
    expect(await run(process.execPath, ['--import', 'tsx', 'marbles.ts'], { cwd: folder })).toEqual({
      stdout: '',
      stderr: '',
    });
  });

  it('has a test for node:test that passes', async () => {
    const args = ['--import', 'tsx', '--test', '--test-reporter', 'tap', 'nodeTest.ts'];
    const { stdout } = await run(process.execPath, args, { cwd: folder }).catch((error) => error);
    expect(stdout).toMatch(/^# pass 1\n# fail 0$/m);
  });

  it('has a test for Vitest that passes', async () => {
    const vitest = join(home, 'node_modules/vitest/vitest.mjs');
    const args = [vitest, 'run', '--root', folder, '--reporter=json'];
    // Without the settings of the Vitest that runs this spec.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')));
    const { stdout } = await run(process.execPath, args, { cwd: folder, env }).catch((error) => error);
    expect(JSON.parse(stdout)).toMatchObject({ numPassedTests: 1, numFailedTests: 0, success: true });
  });
});
