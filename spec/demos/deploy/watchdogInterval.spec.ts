import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { notifySystemd, watchdogInterval } from '../../../demos/deploy/notifySystemd.ts';
import type { ServerEvent } from '../../../lib/index.ts';

const PID = 4711;

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('the messages of the watchdog', () => {
  it('are three in the time after which systemd ends the service, and never a day apart by mistake', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (microseconds) => {
        const interval = watchdogInterval({ WATCHDOG_USEC: `${microseconds}`, WATCHDOG_PID: `${PID}` }, PID) ?? 0;
        expect(interval * 1000 * 3).toBeLessThanOrEqual(microseconds * 1.000001);
        expect(interval).toBeGreaterThan(0);
        expect(interval).toBeLessThan(2 ** 31);
      }),
    );
  });

  it.each([
    ['systemd expects none', {}],
    ['they are expected from another process', { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }],
    ['the time is 0', { WATCHDOG_USEC: '0' }],
    ['the time is not a number', { WATCHDOG_USEC: 'soon' }],
    ['the time is empty', { WATCHDOG_USEC: '' }],
  ])('are not sent where %s', (_why, env) => {
    expect(watchdogInterval(env, PID)).toBeUndefined();
  });

  it('are sent where the process is not named', () => {
    expect(watchdogInterval({ WATCHDOG_USEC: '30000000' }, PID)).toBe(10_000);
  });
});

it('the messages have one timer, also of a server that begins anew, and none after its end', async () => {
  // There is no program that sends them.
  for (const [name, value] of Object.entries({
    NOTIFY_SOCKET: '/nowhere',
    WATCHDOG_USEC: '30000000',
    PATH: '/nowhere',
  })) {
    vi.stubEnv(name, value);
  }
  const warn = vi.spyOn(process, 'emitWarning').mockReturnValue(undefined);
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const observer = notifySystemd();
  const listening = { type: 'listening' } as ServerEvent;
  observer.next(listening);
  observer.next(listening);
  expect(vi.getTimerCount()).toBe(1);
  observer.complete();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  await expect.poll(() => warn.mock.calls.length).toBe(1);
});

it('without systemd the observer does nothing', () => {
  expect(process.env.NOTIFY_SOCKET).toBeUndefined();
  const observer = notifySystemd();
  observer.next({ type: 'draining', active: 1, waiting: 0 });
  observer.error(new Error('the server ended'));
  observer.complete();
});
