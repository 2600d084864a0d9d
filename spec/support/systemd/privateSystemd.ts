import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PATIENCE } from '../waitable.ts';
import { skippedWithout } from './programs.ts';

const run = promisify(execFile);
const boot = fileURLToPath(new URL('boot.sh', import.meta.url));

/** Namespaces of mounts, cgroups and processes, which only an administrator can make. */
const NAMESPACES = ['-m', '-C', '-p', '--fork', '--kill-child'];

/** Whether specs with a systemd of their own are skipped: systemd is missing, or the system permits no namespaces. */
export function isSystemdSkipped(): boolean {
  const what = 'the units are';
  if (skippedWithout(what, { '/usr/lib/systemd/systemd': '--version', systemctl: '--version', nsenter: '--version' })) {
    return true;
  }
  if (spawnSync('unshare', [...NAMESPACES, 'mount', '-t', 'tmpfs', 'tmpfs', '/run']).status === 0) return false;
  console.warn(`no namespaces permitted here: ${what} not run by systemd`);
  return true;
}

/** The targets that units refer to by default. Those of the machine would start its own services. */
const TARGETS = ['sysinit', 'basic', 'sockets', 'multi-user', 'shutdown'];
const target = (wants = '') => `[Unit]\nDefaultDependencies=no\n${wants}`;

/** What a {@link PrivateSystemd} runs, by path. */
export interface Units {
  /** Below its folder of units: units, and drop-ins such as `echo.service.d/log.conf`. */
  readonly units: Readonly<Record<string, string>>;
  /** The unit that is started. */
  readonly start: string;
  /** Below `/opt/sluice-echo`. */
  readonly files: Readonly<Record<string, string>>;
}

/** A system manager of systemd, as the first process of namespaces of its own. It has the units of a spec, and no others. */
export class PrivateSystemd {
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-systemd-'));
  readonly #process: ChildProcess;
  #output = '';

  private constructor({ units, start, files }: Units) {
    // A service with a user of its own has to read it.
    chmodSync(this.folder, 0o755);
    mkdirSync(join(this.folder, 'log'));
    this.#write('bin/.keep', '');
    symlinkSync('/opt/sluice-echo/node', join(this.folder, 'bin/node'));
    for (const [path, text] of Object.entries({ ...files, node: '' })) this.#write(`opt/${path}`, text);
    for (const name of TARGETS) this.#write(`units/${name}.target`, target());
    this.#write('units/spec.target', target(`Wants=${start}\n`));
    for (const [path, text] of Object.entries(units)) this.#write(`units/${path}`, text);
    const args = [...NAMESPACES, 'bash', boot, this.folder, process.execPath];
    this.#process = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const output of [this.#process.stdout, this.#process.stderr]) {
      output?.on('data', (text) => {
        this.#output += text;
      });
    }
  }

  static async start(units: Units): Promise<PrivateSystemd> {
    const manager = new PrivateSystemd(units);
    await manager.until('spec.target', 'ActiveState', (state) => state === 'active');
    return manager;
  }

  /** Runs a command where the units run. @returns Its output. */
  async within(command: string, ...args: readonly string[]): Promise<string> {
    return (await run('nsenter', ['-t', `${this.#init}`, '-m', '-p', command, ...args])).stdout;
  }

  /** Runs `systemctl`. @returns Its output. */
  async systemctl(...args: readonly string[]): Promise<string> {
    return (await this.within('systemctl', ...args)).trim();
  }

  /** A property of a unit, as `systemctl show` has it. */
  property(unit: string, name: string): Promise<string> {
    return this.systemctl('show', unit, '--value', '-p', name);
  }

  /** Waits until a property of a unit is as it should be, by asking again. @returns The property. */
  async until(unit: string, name: string, isSo: (value: string) => boolean): Promise<string> {
    const until = performance.now() + PATIENCE;
    for (let value = ''; ; ) {
      try {
        value = await this.property(unit, name);
        if (isSo(value)) return value;
      } catch (error) {
        // The manager is not there yet.
        value = String(error);
      }
      if (this.#process.exitCode !== null) throw new Error(`systemd has ended: ${this.#output}`);
      if (performance.now() > until) throw new Error(`${name} of ${unit} is ${value}\n${this.log}`);
    }
  }

  /** What the services have printed to `/opt/log/out` and `/opt/log/err`. */
  get log(): string {
    return ['out', 'err']
      .map((name) => readFileSync(join(this.folder, 'log', name), { encoding: 'utf8', flag: 'a+' }))
      .join('');
  }

  /** The number that its first process has outside. */
  get #init(): number {
    const { pid } = this.#process;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
  }

  /** Ends all of its processes. */
  async stop(): Promise<void> {
    // Nothing outlives the first process of its namespace, which ends with `unshare`.
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGKILL');
      await once(this.#process, 'close');
    }
    rmSync(this.folder, { recursive: true });
  }

  #write(path: string, text: string): void {
    const file = join(this.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
