import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { LAST_ACCEPTS, LAST_CLOSES } from '../../../lib/listen/rehearse.ts';
import { DeployedServer, deployFile, endServers, settingsOf } from '../../support/deployed.ts';
import { freePort } from '../../support/freePort.ts';
import { type Manifest, readManifest } from '../../support/kubernetes.ts';
import { home } from '../../support/page.ts';
import { skippedWithout } from '../../support/systemd/programs.ts';

const run = promisify(execFile);

/** Milliseconds from the signal to the end of a drain, at most. */
const drainTime = (announce: number, grace: number) => announce + Math.min(LAST_ACCEPTS, grace) + grace + LAST_CLOSES;

/** For the end of the process after that, and for a machine that is busy. */
const MARGIN = 2000;

describe('the Deployment', () => {
  const text = deployFile('kubernetes.yaml');
  const manifest = readManifest(text);
  const pod = manifest.Deployment.spec?.template.spec;
  const container = pod?.containers[0];
  const env = Object.fromEntries(container?.env?.map(({ name, value = '' }) => [name, value]) ?? []);

  /** Whether the times of a manifest fit, in words. */
  function misfits({ Deployment }: Manifest): string[] {
    const { terminationGracePeriodSeconds = 30, containers = [] } = Deployment.spec?.template.spec ?? {};
    const [{ env = [], lifecycle, readinessProbe: probe, livenessProbe } = {}] = containers;
    const setting = (wanted: string) => Number(env.find(({ name }) => name === wanted)?.value);
    const [announce, grace] = [setting('ANNOUNCE'), setting('GRACE')];
    const preStop = (lifecycle?.preStop?.sleep?.seconds ?? 0) * 1000;
    const { failureThreshold = 3, periodSeconds = 10, timeoutSeconds = 1 } = probe ?? {};
    const wrong: string[] = [];
    if (!((failureThreshold * periodSeconds + timeoutSeconds) * 1000 < announce)) wrong.push('the probe is too slow');
    if (!(preStop + drainTime(announce, grace) + MARGIN <= terminationGracePeriodSeconds * 1000)) {
      wrong.push('the drain is too slow');
    }
    if (lifecycle?.preStop !== undefined && preStop === 0) wrong.push('the preStop hook takes a time that is unknown');
    if (JSON.stringify(livenessProbe?.httpGet).includes('readyz')) wrong.push('a drain is a failure of liveness');
    return wrong;
  }

  it('has a probe that fails while the port is still open, and more time than the drain takes', () => {
    expect(misfits(manifest)).toEqual([]);
  });

  it.each([
    ['a shorter time to end', 'terminationGracePeriodSeconds: 45', 'terminationGracePeriodSeconds: 42', 'the drain'],
    ['a longer grace', '"30000"', '"33000"', 'the drain'],
    ['no time of its own to end', 'terminationGracePeriodSeconds: 45', 'restartPolicy: Always', 'the drain'],
    [
      'a hook that sleeps',
      'livenessProbe:',
      'lifecycle: { preStop: { sleep: { seconds: 5 } } }\n          livenessProbe:',
      'the drain',
    ],
    ['a probe that is seldom', 'periodSeconds: 2', 'periodSeconds: 5', 'the probe'],
    ['a probe of more failures', 'failureThreshold: 2', 'failureThreshold: 5', 'the probe'],
    ['no announcement', '"10000"', '"0"', 'the probe'],
  ])('would not fit with %s', (_what, from, to, says) => {
    expect(text).toContain(from);
    expect(misfits(readManifest(text.replace(from, to)))).toEqual([`${says} is too slow`]);
  });

  it.each([
    ['a value of the wrong type', 'replicas: 2', 'replicas: two', 'must be integer'],
    ['a field that is missing', '  replicas: 2\n  selector:\n', '  replicas: 2\n  x:\n', 'selector'],
    ['a field with a typing error', 'terminationGracePeriodSeconds:', 'terminationGraceSeconds:', 'unknown fields'],
    ['one in a container', 'readinessProbe', 'readynessProbe', 'unknown fields: .spec.template.spec.containers.0.'],
  ])('is validated by the schemas of Kubernetes: it would be refused with %s', (_what, from, to, says) => {
    expect(text).toContain(from);
    expect(() => readManifest(text.replace(from, to))).toThrow(says);
  });

  it('is probed at the ports that the container has', () => {
    const ports = new Map(container?.ports?.map(({ name = '', containerPort }) => [name, containerPort]));
    expect(ports.get('admin')).toBe(Number(env.ADMIN_PORT));
    expect(container?.readinessProbe?.httpGet).toMatchObject({ path: '/readyz', port: 'admin' });
    expect(container?.livenessProbe?.httpGet).toMatchObject({ path: '/livez', port: 'admin' });
    expect(manifest.Service.spec?.ports).toEqual([{ name: 'echo', port: 7000, targetPort: 'echo' }]);
    // An address that the kubelet reaches.
    expect(env.ADMIN_HOST).toBe('0.0.0.0');
  });

  it('is scraped where the server has its metrics, with annotations or by the PodMonitor of the README', () => {
    const { metadata } = manifest.Deployment.spec?.template ?? {};
    expect(metadata?.annotations).toEqual({
      'prometheus.io/scrape': 'true',
      'prometheus.io/path': '/metrics',
      'prometheus.io/port': env.ADMIN_PORT,
    });
    const [, monitor = ''] = /```yaml\n(.*?)```/s.exec(deployFile('README.md')) ?? [];
    const { spec } = parse(monitor);
    expect(spec).toEqual({
      selector: { matchLabels: metadata?.labels },
      podMetricsEndpoints: [{ port: 'admin', path: '/metrics' }],
    });
  });

  it('runs the image that the README builds and brings to the nodes, which nothing pulls from a registry', () => {
    const [, image = ''] =
      /docker build -f demos\/deploy\/Dockerfile -t (\S+:\S+) \./.exec(deployFile('README.md')) ?? [];
    expect(container).toMatchObject({ image, imagePullPolicy: 'IfNotPresent' });
    const commands = deployFile('README.md').split('\n');
    const at = (start: string) => commands.findIndex((line) => line.startsWith(start));
    expect(commands).toContainEqual(expect.stringMatching(`^kind load docker-image ${image} `));
    expect(at('kubectl create secret')).toBeLessThan(at('kubectl apply'));
  });

  it('is selected by its Service and its budget of disruptions', () => {
    const { metadata, spec } = manifest.Deployment.spec?.template ?? {};
    expect(manifest.Deployment.spec?.selector.matchLabels).toEqual(metadata?.labels);
    expect(manifest.Service.spec?.selector).toEqual(metadata?.labels);
    expect(manifest.PodDisruptionBudget.spec?.selector?.matchLabels).toEqual(metadata?.labels);
    expect(spec?.containers).toHaveLength(1);
  });

  it('runs the container without rights: not as root, and with a file system that it cannot write', () => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container?.resources).toEqual({
      requests: { cpu: '500m', memory: container?.resources?.limits?.memory },
      limits: { memory: container?.resources?.limits?.memory },
    });
  });
});

describe('the Dockerfile', () => {
  const dockerfile = deployFile('Dockerfile');
  const instructions = dockerfile.split('\n').filter((line) => /^[A-Z]/.test(line));
  const last = instructions.slice(instructions.findLastIndex((line) => line.startsWith('FROM ')));
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-image-'));
  });
  afterAll(() => {
    endServers();
    rmSync(folder, { recursive: true });
  });

  it('is valid', () => {
    expect(validate(dockerfile)).toEqual([]);
    expect(validate(`${dockerfile}USR 1000\n`)).not.toEqual([]);
  });

  it('makes an image that runs node as its first process, and not as root', () => {
    const user = last.find((line) => line.startsWith('USER '));
    // As a number: Kubernetes cannot know whether a name is root.
    expect(user).toMatch(/^USER [1-9]\d*:[1-9]\d*$/);
    expect(last.at(-1)).toBe('ENTRYPOINT ["node", "/app/server.mjs"]');
    expect(last.filter((line) => /^(RUN|CMD|SHELL|ADD)/.test(line))).toEqual([]);
  });

  it('copies the files that its build needs, and makes a server with its live page, which drains on SIGTERM', async () => {
    const source = join(folder, 'src');
    const ignored = deployFile('Dockerfile.dockerignore').trim().split('\n');
    expect(ignored[0]).toBe('**');
    const letIn = ignored.slice(1).map((line) => line.replace(/^!/, ''));
    const copied = instructions.filter((line) => line.startsWith('COPY ') && !line.includes('--from'));
    const paths = copied.flatMap((line) => line.split(' ').slice(1, -1));
    expect(paths.sort()).toEqual(letIn.sort());
    for (const path of paths) cpSync(join(home, path), join(source, path), { recursive: true });
    // In place of `npm ci`, for which there is no network.
    symlinkSync(join(home, 'node_modules'), join(source, 'node_modules'));
    const within = (path: string) => path.replaceAll('/app/', `${folder}/app/`).replaceAll('/src/', `${folder}/src/`);
    const commands = instructions.filter((line) => line.startsWith('RUN ') && !line.startsWith('RUN npm ci '));
    expect(commands).toHaveLength(2);
    for (const line of commands) await run('sh', ['-c', within(line.replace('RUN ', ''))], { cwd: source });
    const image = join(folder, 'image');
    for (const line of last.filter((line) => line.startsWith('COPY --from=build '))) {
      const [, , from = '', to = ''] = line.split(' ');
      cpSync(within(from), join(image, to), { recursive: true });
    }
    rmSync(source, { recursive: true });

    const admin = await freePort();
    const server = new DeployedServer([process.execPath, join(image, 'app/server.mjs')], {
      ...{ PORT: '0', GRACE: '1000', ADMIN_PORT: `${admin}`, PATH: '' },
    });
    await server.whenListening();
    /** Asks until the port is open. */
    const ask = (path: string): Promise<string> =>
      fetch(`http://127.0.0.1:${admin}${path}`).then(
        (response) => response.text(),
        () => ask(path),
      );
    expect(await ask('/readyz')).toBe('ready\n');
    expect(await ask('/metrics')).toMatch(/^sluice_active_connections\{.*\} 0$/m);
    expect(await ask('/')).toMatch(/^<!doctype html>/i);
    expect(await ask('/uplot.js')).toContain('uPlot');
    server.child.kill('SIGTERM');
    expect([await server.whenExited(), server.types, server.errors]).toEqual([
      0,
      ['listening', 'draining', 'drained'],
      '',
    ]);
  });
});

describe('the units', () => {
  const service = deployFile('systemd/sluice-echo.service');
  const socket = deployFile('systemd/sluice-echo.socket');
  const settings = settingsOf(service, 'Service');
  const env = Object.fromEntries(
    (settings.get('Environment') ?? []).flatMap((line) => line.split(' ').map((one) => one.split('='))),
  );

  it('give the server more time to end than the drain takes', () => {
    const [stop = ''] = settings.get('TimeoutStopSec') ?? [];
    expect(stop).toMatch(/^\d+$/);
    expect(drainTime(Number(env.ANNOUNCE), Number(env.GRACE)) + MARGIN).toBeLessThanOrEqual(Number(stop) * 1000);
  });

  it('give it descriptors for as many connections as it lets in', () => {
    expect(Number(settings.get('LimitNOFILE'))).toBeGreaterThan(1000 + 1000 + 32);
  });

  it('name the socket as the server asks for it', () => {
    const [name = ''] = settingsOf(socket, 'Socket').get('FileDescriptorName') ?? [];
    expect(deployFile('server.ts')).toContain(`inherited('${name}', `);
  });

  describe.skipIf(skippedWithout('the units are', { 'systemd-analyze': '--version' }))(
    'as systemd-analyze reads them',
    () => {
      let folder: string;
      beforeAll(() => {
        folder = mkdtempSync(join(tmpdir(), 'sluice-units-'));
      });
      afterAll(() => rmSync(folder, { recursive: true }));

      /** What `systemd-analyze` says to the units. */
      function analyze(args: readonly string[], unit = service): string {
        const file = join(folder, 'sluice-echo.service');
        // It looks whether the command exists.
        writeFileSync(file, unit.replace('/usr/bin/node', process.execPath));
        writeFileSync(join(folder, 'sluice-echo.socket'), `${socket}${deployFile('systemd/buffers.conf')}`);
        const { stdout, stderr } = spawnSync('systemd-analyze', [...args, file, join(folder, 'sluice-echo.socket')], {
          encoding: 'utf8',
        });
        return stdout + stderr;
      }

      it('are without a fault', () => {
        expect(analyze(['verify'])).toBe('');
      });

      it.each([
        ['an unknown setting', 'WatchdogSec', 'WatchdogSecs'],
        ['a command that does not exist', 'ExecStart=/usr/bin/node', 'ExecStart=/usr/bin/nod'],
        ['a socket that does not exist', 'Requires=sluice-echo.socket', 'Requires=sluice-ech.socket'],
      ])('would have a fault with %s', (_what, from, to) => {
        expect(analyze(['verify'], service.replace(from, to))).not.toBe('');
      });
    },
  );
});
