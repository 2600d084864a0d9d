import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { client, closeClients } from '../../support/client.ts';
import { bundledServer, deployFile } from '../../support/deployed.ts';
import { freePort } from '../../support/freePort.ts';
import { isSystemdSkipped, PrivateSystemd } from '../../support/systemd/privateSystemd.ts';

const SERVICE = 'sluice-echo.service';
const SOCKET = 'sluice-echo.socket';

/** The units of `demos/deploy`, run by systemd as they are. Drop-ins have what is particular to the machine of the spec. */
describe.skipIf(isSystemdSkipped())('the units, run by systemd', () => {
  let systemd: PrivateSystemd;
  let port: number;
  let admin: number;

  beforeAll(async () => {
    [port, admin] = [await freePort(), await freePort()];
    systemd = await PrivateSystemd.start({
      start: SOCKET,
      files: { 'server.mjs': await bundledServer() },
      units: {
        [SERVICE]: deployFile(`systemd/${SERVICE}`),
        [SOCKET]: deployFile(`systemd/${SOCKET}`),
        [`${SOCKET}.d/buffers.conf`]: deployFile('systemd/buffers.conf'),
        [`${SOCKET}.d/port.conf`]: `[Socket]\nListenStream=\nListenStream=127.0.0.1:${port}\n`,
        // Nothing of a process that the watchdog has ended, and not so much time for it.
        [`${SERVICE}.d/spec.conf`]: `[Service]
Environment=ADMIN_PORT=${admin}
StandardOutput=append:/opt/log/out
StandardError=append:/opt/log/err
WatchdogSec=6
TimeoutAbortSec=1
LimitCORE=0
`,
      },
    });
  });

  afterEach(closeClients);
  afterAll(() => systemd.stop());

  const state = (name: string) => systemd.property(SERVICE, name);
  const probe = async (path: string) => (await fetch(`http://127.0.0.1:${admin}${path}`)).status;
  const served = async (text = 'hello') => {
    const one = await client(port).write(`${text}\n`).whenRead(`${text.toUpperCase()}\n`);
    one.end();
    await one.whenClosed();
  };

  it('open the port before the server runs, and start it for the first client', async () => {
    expect(await state('ActiveState')).toBe('inactive');
    await served();
    await systemd.until(SERVICE, 'StatusText', (text) => text === 'listening');
    expect(await state('ActiveState')).toBe('active');
    expect(await Promise.all(['/livez', '/readyz'].map(probe))).toEqual([200, 200]);
    expect(await state('LimitNOFILE')).toBe('65536');
    expect(systemd.log).not.toContain('Warning');
  });

  it('run node itself, as a user without rights', async () => {
    await served();
    const pid = await state('MainPID');
    expect((await systemd.within('cat', `/proc/${pid}/cmdline`)).split('\0')).toEqual([
      '/usr/bin/node',
      '/opt/sluice-echo/server.mjs',
      '',
    ]);
    const status = await systemd.within('cat', `/proc/${pid}/status`);
    // The range of the users that systemd makes for DynamicUser=.
    const [, user] = /^Uid:\t(\d+)/m.exec(status) ?? [];
    expect(Number(user)).toBeGreaterThanOrEqual(61_184);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
  });

  it('give accepted connections the kernel buffers of the drop-in', async () => {
    const one = await client(port).write('hello\n').whenRead('HELLO\n');
    const { localPort } = one.socket;
    const shown = execFileSync('ss', ['-tmnH', `sport = :${port} and dport = :${localPort}`], { encoding: 'utf8' });
    // Linux doubles what it is asked for.
    expect(shown).toContain(`rb${2 * 32 * 1024},`);
    expect(shown).toContain(`tb${2 * 128 * 1024},`);
  });

  it('restart the server under load without a refused or reset connection', async () => {
    await served();
    const outcomes: string[] = [];
    let isOver = false;
    /** Connects again and again. */
    const knock = async () => {
      while (!isOver) {
        const one = client(port).write('hello\n');
        await one.until(({ text, closed }) => closed || text === 'HELLO\n');
        outcomes.push(one.fault ?? (one.text === 'HELLO\n' ? 'reply' : 'FIN'));
        one.end();
        await one.whenClosed();
      }
    };
    const knocking = Array.from({ length: 4 }, knock);
    const pids = new Set<string>();
    for (let restarts = 0; restarts < 4; restarts++) {
      await systemd.systemctl('restart', SERVICE);
      pids.add(await state('MainPID'));
    }
    isOver = true;
    await Promise.all(knocking);
    expect(pids.size).toBe(4);
    expect(await Promise.all(['Result', 'NRestarts'].map(state))).toEqual(['success', '0']);
    const count = (outcome: string) => outcomes.filter((one) => one === outcome).length;
    // A connection that is accepted in the last moment of a process may be closed before its request is read, by a FIN.
    expect(outcomes.filter((outcome) => outcome !== 'reply' && outcome !== 'FIN')).toEqual([]);
    expect(count('reply')).toBeGreaterThan(4);
  });

  it('drain the server: it says so, its readiness fails, and a request in progress is answered', async () => {
    await served();
    const half = client(port).write('hel');
    await systemd.until(SERVICE, 'StatusText', (text) => text === 'listening');
    await served();
    const ended = systemd.systemctl('stop', SERVICE);
    await systemd.until(SERVICE, 'StatusText', (text) => text === 'draining: 1 active, 0 waiting');
    expect(await state('ActiveState')).toBe('deactivating');
    expect(await Promise.all(['/livez', '/readyz'].map(probe))).toEqual([200, 503]);
    // It waits in the queue for the next process.
    const next = await client(port).whenConnected();
    half.write('lo\n');
    await half.whenRead('HELLO\n');
    await ended;
    next.write('next\n');
    await next.whenRead('NEXT\n');
    expect([half.fault, next.fault, await state('Result')]).toEqual([undefined, undefined, 'success']);
  });

  it('restart a server whose event loop does not turn, and no other; its clients wait in the queue meanwhile', async () => {
    await served();
    const first = await state('WatchdogTimestamp');
    const before = await state('MainPID');
    await systemd.until(SERVICE, 'WatchdogTimestamp', (time) => time !== first);
    expect(await Promise.all(['MainPID', 'NRestarts'].map(state))).toEqual([before, '0']);
    await systemd.systemctl('kill', '--kill-who=main', '--signal=STOP', SERVICE);
    const waiting = client(port).write('hello\n');
    await waiting.until(({ text, closed }) => text === 'HELLO\n' || closed);
    expect([await state('NRestarts'), waiting.text]).toEqual(['1', 'HELLO\n']);
  });
});
