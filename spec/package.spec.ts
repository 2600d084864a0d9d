import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { publint } from 'publint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const home = fileURLToPath(new URL('..', import.meta.url));

/** A user's project, with the package unpacked into its `node_modules`, because nothing can be installed without a network. */
let project: string;
/** The file that `npm pack` makes. */
let tarball: string;
/** Paths in the package. */
let files: string[];

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'sluice-package-'));
  const modules = join(project, 'node_modules');
  await mkdir(join(modules, 'sluice'), { recursive: true });
  await Promise.all(
    ['rxjs', 'pino', '@types'].map((name) => symlink(join(home, 'node_modules', name), join(modules, name))),
  );
  await run('npm', ['pack', '--silent', '--pack-destination', project], { cwd: home });
  const [packed = ''] = (await readdir(project)).filter((name) => name.endsWith('.tgz'));
  tarball = join(project, packed);
  files = (await run('tar', ['-tzf', tarball])).stdout.trim().split('\n');
  await run('tar', ['-xzf', tarball, '-C', join(modules, 'sluice'), '--strip-components=1']);
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
});

afterAll(() => rm(project, { recursive: true }));

const program = `
import { map, timer } from 'rxjs';
import { type Connection, encodeLine, exchange, lines, listen, logTo, serve, type ServeOptions, signals } from 'sluice';
import { MemoryNetwork } from 'sluice/testing';

const network = new MemoryNetwork();
const options: ServeOptions = { transport: network.transport, shutdown: timer(50), concurrency: 3 };
const events: string[] = [];
const echo = (connection: Connection) => connection.pipe(lines(), map(encodeLine));
serve({ port: 0 }, echo, options).subscribe({
  next: (event) => events.push(event.type),
  complete: () => console.log(events.join(' '), [exchange, listen, logTo, signals].every((one) => typeof one === 'function')),
});
`;

const observed = `
import { metrics as api } from '@opentelemetry/api';
import { Registry } from 'prom-client';
import { share, timer } from 'rxjs';
import { serve } from 'sluice';
import { metrics as openTelemetry } from 'sluice/opentelemetry';
import { metrics } from 'sluice/prometheus';
import { MemoryNetwork } from 'sluice/testing';

const { transport } = new MemoryNetwork();
const registry = new Registry();
const events = serve({ port: 0 }, (client) => client, { transport, shutdown: timer(50) }).pipe(share());
const reported = metrics(events, { registry });
reported.add(openTelemetry(events, { meter: api.getMeter('observed') }));
events.subscribe({
  complete: async () => {
    const status = (await registry.getMetricsAsJSON()).find(({ name }) => name === 'sluice_server_status');
    const closed = status?.values.find(({ labels }) => labels['sluice_server_state'] === 'closed');
    console.log(status?.name, closed?.value);
    reported.unsubscribe();
  },
});
`;

/** Compiles a program in the strictest project. @returns What the compiler prints. */
async function compiled(name: string, program: string): Promise<string> {
  await writeFile(join(project, `${name}.ts`), program);
  const options = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
  const modules = { module: 'NodeNext', target: 'ES2022', types: ['node'], skipLibCheck: false };
  const config = { compilerOptions: { ...options, ...modules, verbatimModuleSyntax: true }, files: [`${name}.ts`] };
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config));
  const tsc = await run(join(home, 'node_modules/.bin/tsc'), ['-p', project]).catch((error) => error);
  return tsc.stdout;
}

describe('the package', () => {
  it('contains what a user needs, and nothing else', () => {
    const others = files.filter((path) => !path.startsWith('package/dist/'));
    const guides = [
      'demos/bench/results.svg',
      'lib/FIRST.md',
      'lib/FROM-NESTJS.md',
      'lib/FROM-NET.md',
      'lib/admin/ADMIN.md',
      'lib/admin/livePage.webp',
      'lib/deadline/DEADLINES.md',
      'lib/flow/BACKPRESSURE.md',
      'lib/flow/CONTEXT.md',
      'lib/framing/DECODERS.md',
      'lib/framing/PROTOCOL.md',
      'lib/listen/OVERLOAD.md',
      'lib/listen/TABLE.md',
      'lib/metrics/METRICS.md',
      'lib/shutdown/DRAINING.md',
      'lib/testing/TESTING.md',
      'lib/tls/TLS.md',
      'lib/transport/TRANSPORTS.md',
    ];
    expect(others.sort()).toEqual(
      ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', ...guides, 'package.json'].map(
        (name) => `package/${name}`,
      ),
    );
    const built = files.filter((path) => path.startsWith('package/dist/'));
    expect(built).toContain('package/dist/index.js');
    const page = ['icon.svg', 'index.html', 'page.css', 'uplot.css'].map((name) => `package/dist/admin/page/${name}`);
    expect(built.filter((path) => !/\.(js|d\.ts|js\.map)$/.test(path)).sort()).toEqual(page);
    expect(built.filter((path) => path.startsWith('package/dist/admin/page/') && !/\.js$/.test(path)).sort()).toEqual(
      page,
    );
  });

  it('contains every file that a page of it links to', async () => {
    const pages = files.filter((path) => path.endsWith('.md'));
    expect(pages).toContain('package/lib/flow/BACKPRESSURE.md');
    for (const page of pages) {
      const text = await readFile(join(project, 'node_modules/sluice', page.replace('package/', '')), 'utf8');
      const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = '']) => join(page, '..', link));
      expect([page, links.filter((link) => !files.includes(link))]).toEqual([page, []]);
    }
  });

  it('has no fault that publint finds', async () => {
    const { messages } = await publint({ pkgDir: join(project, 'node_modules/sluice'), pack: false, strict: true });
    expect(messages).toEqual([]);
  });

  it('has types that each kind of resolution finds, that of Node 10 included', async () => {
    const attw = join(home, 'node_modules/.bin/attw');
    // A program in CommonJS requires the ES module, which Node can from 20.19 on.
    const rules = ['--ignore-rules', 'cjs-resolves-to-esm'];
    const { stdout } = await run(attw, [tarball, '--format', 'json', ...rules]).catch((error) => error);
    const { analysis } = JSON.parse(stdout);
    const problems = analysis.problems.filter(({ kind }: { kind: string }) => kind !== 'CJSResolvesToESM');
    expect(Object.keys(analysis.entrypoints)).toEqual(expect.arrayContaining(['.', './admin', './testing']));
    expect(problems).toEqual([]);
  });

  it('is small, and brings pino and what that needs', async () => {
    const sizes = files.map((path) => stat(join(project, 'node_modules/sluice', path.replace('package/', ''))));
    const unpacked = (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
    const { size } = await stat(tarball);
    // In bytes. Half of it are the source maps, with the sources.
    expect(size).toBeLessThan(1_000_000);
    expect(unpacked).toBeLessThan(3_800_000);

    const { packages } = JSON.parse(await readFile(join(home, 'package-lock.json'), 'utf8'));
    const { dependencies } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'));
    const brought = new Set<string>(Object.keys(dependencies));
    for (const name of brought) {
      const { dependencies = {}, optionalDependencies = {} } = packages[`node_modules/${name}`];
      for (const more of Object.keys({ ...dependencies, ...optionalDependencies })) brought.add(more);
    }
    expect([...brought].sort()).toEqual([
      '@pinojs/redact',
      'atomic-sleep',
      'on-exit-leak-free',
      'pino',
      'pino-abstract-transport',
      'pino-std-serializers',
      'process-warning',
      'quick-format-unescaped',
      'real-require',
      'safe-stable-stringify',
      'sonic-boom',
      'split2',
      'thread-stream',
    ]);
    const scripts = [...brought].filter((name) => packages[`node_modules/${name}`].hasInstallScript);
    expect(scripts).toEqual([]);
  });

  it.each([
    ['sluice', 'no optional package', undefined],
    ['sluice/admin', 'no optional package', undefined],
    ['sluice/testing', 'no optional package', undefined],
    ['sluice/prometheus', 'prom-client alone', 'prom-client'],
    ['sluice/opentelemetry', '@opentelemetry/api alone', '@opentelemetry/api'],
  ])('is loaded as %s, and needs %s', async (entry, _what, needed) => {
    const code = `
      const names = Object.keys(await import('${entry}').catch(({ message }) => ({ [message]: 0 })));
      const required = await import('node:module').then(({ createRequire }) => {
        try {
          return Object.keys(createRequire(import.meta.url)('${entry}'));
        } catch ({ message }) {
          return [message];
        }
      });
      console.log(JSON.stringify([names, required]));`;
    await writeFile(join(project, 'entry.js'), code);
    const load = async () => JSON.parse((await run(process.execPath, ['entry.js'], { cwd: project })).stdout);
    // The whole scope of a package in one.
    const [folder = ''] = needed?.split('/') ?? [];
    const link = join(project, 'node_modules', folder);
    if (needed !== undefined) {
      const [imported] = await load();
      expect(imported).toEqual([expect.stringContaining(`Cannot find package '${needed}'`)]);
      await symlink(join(home, 'node_modules', folder), link);
    }
    const [imported, required] = await load();
    if (needed !== undefined) await rm(link);
    expect(imported).toEqual(expect.arrayContaining([expect.stringMatching(/^\w+$/)]));
    expect(required.filter((name: string) => name !== '__esModule')).toEqual(imported);
  });

  it('is built by npm when it is installed from git, and not if TypeScript is not installed', async () => {
    const { scripts } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'));
    const bare = await mkdtemp(join(tmpdir(), 'sluice-bare-'));
    const shell = (cwd: string) => run('sh', ['-c', scripts.prepare], { cwd });
    // Without TypeScript, as after `npm ci --omit=dev`.
    expect(await shell(bare)).toMatchObject({ stdout: '', stderr: '' });
    await symlink(join(home, 'node_modules'), join(bare, 'node_modules'));
    await writeFile(join(bare, 'package.json'), JSON.stringify({ scripts: { build: 'echo builds' } }));
    expect((await shell(bare)).stdout).toContain('builds');
    await rm(bare, { recursive: true });
  });

  it.each([
    [
      'connection/connection',
      'abstract class Connection extends Bytes',
      'id peer via security openedAt local bytesIn bytesOut unsent dropped paused idle isDraining draining closed',
      'send write upgrade end halfClose abort refuse drain holdElsewhere',
    ],
    [
      'testing/memoryClient',
      'class MemoryClient',
      'ended reset over taken bytes text received',
      'constructor play write end break pause resume readBytes',
    ],
    [
      'testing/memoryNetwork',
      'class MemoryNetwork',
      'sockets answers canPause transport listening',
      'constructor connect',
    ],
  ])('declares in %s.d.ts only what users may call', async (file, declaration, properties, methods) => {
    const types = await readFile(join(project, `node_modules/sluice/dist/${file}.d.ts`), 'utf8');
    const [, body = ''] = types.match(new RegExp(`^export declare ${declaration} \\{\n([\\s\\S]*?)^}`, 'm')) ?? [];
    const names = [...body.matchAll(/^ {4}(?:abstract )?(?:readonly |get )?(\w+)/gm)].map(([, name]) => name);
    expect(names.sort()).toEqual(`${properties} ${methods}`.split(' ').sort());
  });

  it('compiles in the strictest project, and runs', async () => {
    expect(await compiled('program', program)).toBe('');
    const { stdout } = await run(process.execPath, ['program.js'], { cwd: project });
    expect(stdout).toBe('listening draining drained true\n');
  });

  it('has subpaths that compile, and report, beside their optional packages', async () => {
    const links = ['prom-client', '@opentelemetry/api'].map((name) => join(project, 'node_modules', name));
    for (const link of links) {
      await mkdir(join(link, '..'), { recursive: true });
      await symlink(link.replace(project, home), link);
    }
    expect(await compiled('observed', observed)).toBe('');
    const { stdout } = await run(process.execPath, ['observed.js'], { cwd: project });
    expect(stdout).toBe('sluice_server_status 1\n');
    await Promise.all(links.map((link) => rm(link)));
  });

  it.each([
    ['is not loaded by an import', '', false],
    ['is not loaded by logTo with a logger', 'logTo(console);', false],
    ['is loaded by logTo without a logger', 'logTo();', true],
  ])('pino %s', async (_when, use, loaded) => {
    const code = `
      import { createRequire } from 'node:module';
      import { logTo } from 'sluice';
      import 'sluice/testing';
      ${use}
      const { cache } = createRequire(import.meta.url);
      console.log(Object.keys(cache).some((path) => /[/]pino[/]/.test(path)));`;
    await writeFile(join(project, 'loads.js'), code);
    const { stdout } = await run(process.execPath, ['loads.js'], { cwd: project });
    expect(stdout).toBe(`${loaded}\n`);
  });

  it('has the live page of the admin port, and uPlot with its licence', async () => {
    const code = `
      import { NEVER } from 'rxjs';
      import { admin } from 'sluice/admin';
      admin(NEVER, { port: 0 }).subscribe(async ({ url }) => {
        const paths = ['/', '/page.css', '/page.js', '/icon.svg', '/uplot.js', '/uplot.css'];
        const texts = await Promise.all(paths.map((path) => fetch(new URL(path, url)).then((one) => one.text())));
        console.log(texts.map((text) => text.length > 300), texts[4].includes('The MIT License'), texts[5].includes('The MIT License'));
        process.exit();
      });`;
    await writeFile(join(project, 'page.js'), code);
    const { stdout } = await run(process.execPath, ['page.js'], { cwd: project });
    expect(stdout).toBe('[ true, true, true, true, true, true ] true true\n');
  });

  it('has types that do not need those of pino', async () => {
    const folder = join(project, 'node_modules/sluice/dist');
    const types = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('.d.ts'));
    const texts = await Promise.all(
      // No public type refers to this file.
      types.filter((path) => path !== 'logging/pino.d.ts').map((path) => readFile(join(folder, path), 'utf8')),
    );
    expect(texts.filter((text) => /from 'pino'|import\('pino'\)/.test(text))).toEqual([]);
  });

  describe.each(['logTo()', 'logTo(console)'])('in a bundle with %s', (log) => {
    it.each([
      ['an ES module', 'esm', 'beside its packages', 'mjs'],
      ['an ES module', 'esm', 'alone', 'mjs'],
      ['CommonJS', 'cjs', 'alone', 'cjs'],
    ] as const)('runs and logs as %s (%s) %s', async (_what, format, where, extension) => {
      const folder = where === 'alone' ? await mkdtemp(join(tmpdir(), 'sluice-bundle-')) : project;
      const outfile = join(folder, `bundle.${extension}`);
      const contents = `
        import { timer } from 'rxjs';
        import { logTo, serve } from 'sluice';
        import { MemoryNetwork } from 'sluice/testing';
        const { transport } = new MemoryNetwork();
        serve({ port: 0 }, (connection) => connection, { transport, shutdown: timer(1) }).subscribe(${log});`;
      const stdin = { contents, resolveDir: project };
      await build({ stdin, bundle: true, platform: 'node', format, outfile, logLevel: 'silent' });
      const { stdout } = await run(process.execPath, [outfile]);
      expect(stdout.trim().split('\n')).toEqual([
        expect.stringContaining('listening on memory:0'),
        expect.stringContaining('draining: 0 active, 0 waiting'),
        expect.stringContaining('drained: 0 closed, 0 aborted, 0 refused'),
      ]);
      if (folder !== project) await rm(folder, { recursive: true });
    });
  });
});
