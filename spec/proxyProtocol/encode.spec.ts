import { describe, expect, it } from 'vitest';
import { decodeProxyHeader } from '../../lib/proxyProtocol/decode.ts';
import { encodeProxyHeader, type ProxyHeaderOptions } from '../../lib/proxyProtocol/encode.ts';
import { hex, SIGNATURE } from './headers.ts';

const tcp = (address: string | undefined, port: number | undefined = 1) => ({ address, port });
const unix = (address: string | undefined) => ({ address, port: undefined });
const ends = { source: tcp('10.0.0.1', 1), destination: tcp('10.0.0.2', 2) };

/** What follows the signature, in hexadecimal digits. */
const encoded = (options: ProxyHeaderOptions): string => {
  const header = encodeProxyHeader(options);
  expect(header.toString('hex', 0, 12)).toBe(SIGNATURE);
  return header.toString('hex', 12);
};
const line = (options: ProxyHeaderOptions) => encodeProxyHeader({ version: 1, ...options }).toString('latin1');

const UNKNOWN = 'PROXY UNKNOWN\r\n';
const UNSPEC = '21000000';
const mapped = `${'00'.repeat(10)}ffff`;
const one = `${'00'.repeat(15)}01`;
const path = (digits: string) => digits.padEnd(216, '0');

describe('the addresses', () => {
  it.each([
    [
      'IPv4',
      tcp('10.0.0.1', 1),
      tcp('10.0.0.2', 65535),
      '2111000c0a0000010a0000020001ffff',
      'TCP4 10.0.0.1 10.0.0.2 1 65535',
    ],
    ['IPv6', tcp('::1'), tcp('::0:1', 0), `21210024${one}${one}00010000`, 'TCP6 ::1 ::1 1 0'],
    [
      'IPv4 mapped into IPv6',
      tcp('::ffff:10.0.0.1'),
      tcp('::ffff:a00:2', 2),
      '2111000c0a0000010a00000200010002',
      'TCP4 10.0.0.1 10.0.0.2 1 2',
    ],
    [
      'both families',
      tcp('::1'),
      tcp('10.0.0.2', 2),
      `21210024${one}${mapped}0a00000200010002`,
      'TCP6 ::1 ::ffff:10.0.0.2 1 2',
    ],
    [
      'both families, the other way round',
      tcp('10.0.0.2', 2),
      tcp('::1'),
      `21210024${mapped}0a000002${one}00020001`,
      'TCP6 ::ffff:10.0.0.2 ::1 2 1',
    ],
    ['a zone', tcp('::1%eth0'), tcp('::1%1'), `21210024${one}${one}00010001`, 'TCP6 ::1 ::1 1 1'],
    ['no port', unix('10.0.0.1'), unix('10.0.0.2'), '2111000c0a0000010a00000200000000', 'TCP4 10.0.0.1 10.0.0.2 0 0'],
  ])('are those of %s', (_, source, destination, binary, text) => {
    expect(encoded({ source, destination })).toBe(binary);
    expect(line({ source, destination })).toBe(`PROXY ${text}\r\n`);
  });

  it.each([
    ['two paths', unix('/a'), unix('/b'), `${path('2f61')}${path('2f62')}`],
    ['a client without a path', unix(undefined), unix('/é'), `${path('')}${path('2fc3a9')}`],
    ['a server without a path', unix('/a'), undefined, `${path('2f61')}${path('')}`],
    ['an abstract name', unix('\0a\0b'), unix('\0c'), `${path('00610062')}${path('0063')}`],
    ['the longest path', unix('x'.repeat(108)), unix('y'), `${'78'.repeat(108)}${path('79')}`],
  ])('are those of a unix socket with %s', (_, source, destination, block) => {
    expect(encoded({ source, destination })).toBe(`213100d8${block}`);
    expect(line({ source, destination })).toBe(UNKNOWN);
  });

  it.each([
    ['nothing is known', undefined, undefined],
    ['the client is unknown', tcp(undefined, undefined), tcp('10.0.0.2')],
    ['the server is unknown', tcp('10.0.0.2'), tcp(undefined, undefined)],
    ['the client has gone', tcp(undefined, 5), tcp('10.0.0.2')],
    ['one of them has a path', unix('/a'), tcp('10.0.0.2')],
    ['the other one has a path', tcp('::1'), unix('/a')],
  ])('are left out if %s', (_, source, destination) => {
    expect(encoded({ source, destination })).toBe(UNSPEC);
    expect(line({ source, destination })).toBe(UNKNOWN);
  });

  it('are left out of a connection of the proxy itself', () => {
    expect(encoded({ command: 'local' })).toBe('20000000');
    expect(encoded({ command: 'local', ...ends })).toBe('20000000');
    expect(encoded({ command: 'local', ...ends, authority: 'a' })).toBe('2000000402000161');
  });
});

describe('the fields', () => {
  const fields = (options: ProxyHeaderOptions) => encoded(options).slice('21000000'.length);

  it.each<[string, ProxyHeaderOptions]>([
    ['0100026832', { alpn: 'h2' }],
    ['0100020080', { alpn: '\0\x80' }],
    ['0200036dc3a9', { authority: 'mé' }],
    ['020000', { authority: '' }],
    ['0500020001', { uniqueId: Uint8Array.of(0, 1) }],
    ['3000026e73', { netns: 'ns' }],
    ['2000050000000001', { ssl: {} }],
    ['2000050100000001', { ssl: { tls: true } }],
    ['2000050700000000', { ssl: { tls: true, certOnConnection: true, certInSession: true, verified: true } }],
    ['2000050500000000', { ssl: { tls: true, certInSession: true, verified: true } }],
    ['20000c0100000001210004746c7331', { ssl: { tls: true, version: 'tls1' } }],
    [
      '200022 0000000001 220002c3a9 23000163 24000173 2500016b 26000167 27000171 28000130',
      {
        ssl: {
          cn: 'é',
          cipher: 'c',
          sigAlg: 's',
          keyAlg: 'k',
          group: 'g',
          sigScheme: 'q',
          clientCert: Buffer.from('0'),
        },
      },
    ],
    ['e0000101', { tlvs: [{ type: 0xe0, value: Uint8Array.of(1) }] }],
    [
      '0100026832 02000161 05000101 2000050000000001 3000016e ff0000 000000',
      {
        tlvs: [0xff, 0].map((type) => ({ type, value: Uint8Array.of() })),
        netns: 'n',
        ssl: {},
        uniqueId: Uint8Array.of(1),
        authority: 'a',
        alpn: 'h2',
      },
    ],
  ])('are %s', (digits, options) => {
    const length = hex(digits).length;
    expect(fields(options)).toBe(digits.replaceAll(' ', ''));
    expect(encoded(options).slice(4, 8)).toBe(length.toString(16).padStart(4, '0'));
  });

  it('that an option sets are not sent a second time, and checksums of others never', () => {
    const tlvs = [
      { type: 3, value: Buffer.alloc(4) },
      { type: 2, value: Buffer.from('other') },
      { type: 1, value: Buffer.from('h2') },
    ];
    expect(fields({ authority: 'a', tlvs })).toBe('020001610100026832');
  });
});

describe('the checksum', () => {
  it('is the last field, with the value that HAProxy 2.6 computes', () => {
    expect(encoded({ ...ends, checksum: true })).toBe('211100130a0000010a0000020001000203000438300fcb');
    expect(encoded({ authority: 'a', checksum: true })).toMatch(/^2100000b02000161030004[0-9a-f]{8}$/);
  });

  it('is not sent unless it is asked for', () => {
    expect(encoded({ checksum: false })).toBe(UNSPEC);
  });
});

describe('what cannot be encoded', () => {
  const cannot = (options: unknown) => () => encodeProxyHeader(options as ProxyHeaderOptions);

  it.each([
    [undefined, 'options must be an object, not undefined'],
    [{ sources: 1 }, "options: there is no option 'sources'; the options are version, command,"],
    [{ version: 3 }, 'version must be one of 1, 2, not 3'],
    [{ command: 'PROXY' }, "command must be one of 'proxy', 'local', not 'PROXY'"],
    [{ source: '10.0.0.1' }, "source must be an address and a port, not '10.0.0.1'"],
    [{ source: null }, 'source must be an address and a port, not null'],
    [{ source: { address: 1 } }, 'source.address must be an address, not 1'],
    [{ source: unix('') }, "source.address must be an address, not ''"],
    [
      { source: { address: '::1', port: '1' } },
      "source.port must be a whole number from 0 to 65535, or undefined, not '1'",
    ],
    [{ source: tcp('localhost') }, "source.address must be an IP address, because there is a port, not 'localhost'"],
    [{ destination: tcp('/a', 0) }, "destination.address must be an IP address, because there is a port, not '/a'"],
    [{ source: unix('/a\0b') }, "source.address must be a path without a NUL in or after it, not '/a\\x00b'"],
    [{ source: unix('\0') }, "source.address must be a path without a NUL in or after it, not '\\x00'"],
    [{ source: unix('\0a\0') }, "source.address must be a path without a NUL in or after it, not '\\x00a\\x00'"],
    [{ alpn: 1 }, 'alpn must be a string, not 1'],
    [{ alpn: '€' }, "alpn must have characters of one byte each, not '€'"],
    [{ netns: '€' }, "netns must have characters of one byte each, not '€'"],
    [{ authority: Buffer.from('a') }, 'authority must be a string, not'],
    [{ uniqueId: 'id' }, "uniqueId must be a Uint8Array, not 'id'"],
    [{ ssl: true }, 'ssl must be an object, not true'],
    [{ ssl: { tls: 1 } }, 'ssl.tls must be one of true, false, not 1'],
    [{ ssl: { cipher: '€' } }, "ssl.cipher must have characters of one byte each, not '€'"],
    [{ ssl: { clientCert: 'PEM' } }, "ssl.clientCert must be a Uint8Array, not 'PEM'"],
    [{ ssl: { client: 1 } }, "ssl: there is no option 'client'"],
    [{ ssl: { tls: true, verified: true } }, 'ssl.verified must be false without TLS and a certificate'],
    [{ ssl: { certOnConnection: true, verified: true } }, 'ssl.verified must be false without TLS and a certificate'],
    [{ tlvs: {} }, 'tlvs must be a list of { type, value }, not {}'],
    [{ tlvs: [null] }, 'tlvs must have a number as type and a Uint8Array as value in each, not {'],
    [{ tlvs: [{ type: 1, value: 'a' }] }, 'tlvs must have a number as type and a Uint8Array as value in each, not {'],
    [{ checksum: 1 }, 'checksum must be one of true, false, not 1'],
    [{ version: 1, command: 'local' }, "version 1 has no command 'local'"],
    [{ version: 1, checksum: true }, 'version 1 has no checksum'],
    [{ version: 1, tlvs: [{ type: 1, value: Buffer.alloc(0) }] }, 'version 1 has no tlvs'],
    [{ version: 1, authority: 'a' }, 'version 1 has no authority'],
    [{ version: 1, ssl: {} }, 'version 1 has no ssl'],
  ])('is a TypeError for %o', (options, message) => {
    expect(cannot(options)).toThrow(TypeError);
    expect(cannot(options)).toThrow(`Cannot encode the PROXY header: ${message}`);
  });

  const value = Buffer.alloc(16_384 - 16 - 3);
  it.each([
    [{ source: tcp('::1', 65_536) }, 'source.port must be a whole number from 0 to 65535, or undefined, not 65536'],
    [{ source: tcp('::1', -1) }, 'source.port must be a whole number from 0 to 65535, or undefined, not -1'],
    [{ source: tcp('::1', 0.5) }, 'source.port must be a whole number from 0 to 65535, or undefined, not 0.5'],
    [{ source: unix('x'.repeat(109)) }, 'source.address must have at most 108 bytes in UTF-8, not 109'],
    [{ destination: unix('é'.repeat(55)) }, 'destination.address must have at most 108 bytes in UTF-8, not 110'],
    [{ uniqueId: Buffer.alloc(129) }, 'uniqueId must have at most 128 bytes, not 129'],
    [{ tlvs: [{ type: 256, value }] }, 'tlvs must have types from 0 to 255, not 256'],
    [{ tlvs: [{ type: -1, value }] }, 'tlvs must have types from 0 to 255, not -1'],
    [{ tlvs: [{ type: 0.5, value }] }, 'tlvs must have types from 0 to 255, not 0.5'],
    [{ ...ends, tlvs: [{ type: 4, value }] }, 'it has 16396 bytes, at most 16384 allowed'],
    [{ checksum: true, tlvs: [{ type: 4, value }] }, 'it has 16391 bytes, at most 16384 allowed'],
    [{ ssl: { clientCert: Buffer.alloc(70_000) } }, 'it has 70027 bytes, at most 16384 allowed'],
  ])('is a RangeError for %o', (options, message) => {
    expect(cannot(options)).toThrow(RangeError);
    expect(cannot(options)).toThrow(`Cannot encode the PROXY header: ${message}`);
  });

  it('is not the longest header', () => {
    const header = encodeProxyHeader({ tlvs: [{ type: 4, value }] });
    expect(header).toHaveLength(16_384);
    expect(decodeProxyHeader(header)).toMatchObject({ kind: 'header', length: 16_384 });
  });
});
