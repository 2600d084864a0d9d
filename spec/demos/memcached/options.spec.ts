import { describe, expect, it } from 'vitest';
import { readOptions, UsageError } from '../../../demos/memcached/options.ts';
import { USAGE } from '../../../demos/memcached/usage.ts';

describe('readOptions', () => {
  it("has the original's defaults", () => {
    expect(readOptions([])).toEqual({
      show: undefined,
      listen: [{ host: undefined, port: 11211 }],
      path: undefined,
      maxConnections: 1024,
      overflow: 'refuse',
      backlog: 1024,
      memory: 64 * 1024 * 1024,
      maxItem: 1024 * 1024,
      evictions: true,
      idleTimeout: Number.POSITIVE_INFINITY,
      flushing: true,
      shutdown: false,
      portOptions: {},
      verbosity: 0,
      ignored: [],
    });
  });

  it('reads short flags, combined and separate', () => {
    const words =
      '-p 11311 -l127.0.0.1 -c10 -m 8 -I 2k -b 5 -MFA -vv -t 4 -u nobody -U 0 -o idle_timeout=30,no_maxconns_fast';
    expect(readOptions(words.split(' '))).toEqual({
      show: undefined,
      listen: [{ host: '127.0.0.1', port: 11311 }],
      path: undefined,
      maxConnections: 10,
      overflow: 'wait',
      backlog: 5,
      memory: 8 * 1024 * 1024,
      maxItem: 2048,
      evictions: false,
      idleTimeout: 30_000,
      flushing: false,
      shutdown: true,
      portOptions: {},
      verbosity: 2,
      ignored: ['-t', '-u', '-U'],
    });
  });

  it('reads long flags', () => {
    expect(
      readOptions(['--port=0', '--conn-limit', '3', '--max-item-size=4m', '--extended=idle_timeout=0']),
    ).toMatchObject({
      listen: [{ host: undefined, port: 0 }],
      maxConnections: 3,
      maxItem: 4 * 1024 * 1024,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    const tls = [
      '--tls-cert=c',
      '--tls-key=k',
      '--tls-ca=a',
      '--tls-self-signed',
      '--proxy-from=::1',
      '--proxy-from=::2',
    ];
    expect(readOptions(tls).portOptions).toEqual({
      tlsCert: 'c',
      tlsKey: 'k',
      tlsCa: 'a',
      tlsSelfSigned: true,
      proxyFrom: ['::1', '::2'],
    });
    expect(readOptions(['--host', '::1']).listen).toEqual([{ host: '::1', port: 11211 }]);
    expect(readOptions(['-h'])).toMatchObject({ show: 'help' });
    expect(readOptions(['-V'])).toMatchObject({ show: 'version' });
  });

  it.each([
    ['localhost', 'localhost', 1],
    ['localhost:2', 'localhost', 2],
    ['::1', '::1', 1],
    ['[::1]:2', '::1', 2],
    ['[::1]', '::1', 1],
    ['*', undefined, 1],
  ])('listens at %s', (word, host, port) => expect(readOptions(['-p1', '-l', word]).listen).toEqual([{ host, port }]));

  it('listens at several addresses', () => {
    expect(readOptions(['-l', '127.0.0.1,[::1]:5', '-l', 'localhost']).listen).toEqual([
      { host: '127.0.0.1', port: 11211 },
      { host: '::1', port: 5 },
      { host: 'localhost', port: 11211 },
    ]);
  });

  it.each([
    ['-q'],
    ['stray'],
    ['-p', '65536'],
    ['-p', ''],
    ['-p', '1e3'],
    ['-p'],
    ['-c', '0'],
    ['-c', '-1'],
    ['-m', '0'],
    ['-I', '1023'],
    ['-I', '1g'],
    ['-I', '1025m'],
    ['-m', '1'],
    ['-U', '11211'],
    ['-l', 'localhost:99999'],
    ['-o', 'idle_timeout'],
    ['-o', 'idle_timeout=-1'],
    ['-o', 'hashpower=20'],
  ])('refuses %s %s', (...args) =>
    expect(() => readOptions(args.filter((arg) => arg !== undefined))).toThrow(UsageError),
  );

  it('reads the flags that the usage describes', () => {
    for (const flag of ['-p', '-l', '-s', '-c', '-b', '-m', '-I', '-M', '-F', '-A', '-v', '-V', '-h', '-o']) {
      expect(USAGE).toContain(`\n  ${flag}, --`);
    }
  });
});
