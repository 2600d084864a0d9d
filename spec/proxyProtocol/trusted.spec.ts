import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asIPv4, asIPv6, bytesOfIp, ipOfBytes } from '../../lib/proxyProtocol/ip.ts';
import { trustedBy } from '../../lib/proxyProtocol/trusted.ts';

const tcp = (address: string | undefined) => ({ address, port: 1 });

describe('a peer', () => {
  it.each([
    // The addresses at both ends of a network, and beside it.
    ['10.0.0.0/8', '10.0.0.0 10.255.255.255', '9.255.255.255 11.0.0.0'],
    ['10.1.2.3/8', '10.0.0.0', '11.1.2.3'],
    ['10.0.0.1', '10.0.0.1', '10.0.0.0 10.0.0.2'],
    ['10.0.0.1/32', '10.0.0.1', '10.0.0.0 10.0.0.2'],
    ['192.168.5.128/25', '192.168.5.128 192.168.5.255', '192.168.5.127 192.168.6.128'],
    ['0.0.0.0/0', '0.0.0.0 255.255.255.255 ::ffff:1.2.3.4', ':: ::1'],
    ['2001:db8::/29', '2001:db8:: 2001:dbf:ffff::1', '2001:dc0:: 2001:db7:ffff::'],
    ['2001:DB8:0::1', '2001:db8::1 2001:db8:0:0:0:0:0:1 2001:db8::1%eth0', '2001:db8::2'],
    ['::/0', '::1 2001:db8::1', '10.0.0.1 ::ffff:10.0.0.1'],
    // IPv4 addresses that are mapped into IPv6, on either side.
    ['10.0.0.0/8', '::ffff:10.0.0.1 ::ffff:a00:1 0:0:0:0:0:ffff:10.9.9.9', '::ffff:11.0.0.1 ::10.0.0.1'],
    ['::ffff:10.0.0.0/104', '10.0.0.1 ::ffff:10.255.255.255', '11.0.0.0'],
    ['::ffff:10.0.0.1', '10.0.0.1 ::ffff:10.0.0.1', '10.0.0.2'],
    ['::ffff:0:0/96', '0.0.0.0 255.255.255.255', '::1 ::fffe:1.2.3.4'],
    ['::ffff:0:0/95', '::fffe:1.2.3.4', '1.2.3.4 ::ffff:1.2.3.4'],
  ])('of %s is one of %s, and none of %s', (network, trusted, others) => {
    const trusts = trustedBy([network]);
    for (const address of trusted.split(' ')) expect([address, trusts(tcp(address))]).toEqual([address, true]);
    for (const address of others.split(' ')) expect([address, trusts(tcp(address))]).toEqual([address, false]);
  });

  it('is trusted if it is in any of several networks', () => {
    const trusts = trustedBy(['10.0.0.0/8', '192.168.0.1', 'fd00::/8', 'unix']);
    const peers = ['10.1.1.1', '192.168.0.1', 'fd12::1', '192.168.0.2', 'fe80::1'].map((address) => tcp(address));
    expect(peers.map(trusts)).toEqual([true, true, true, false, false]);
    expect(trusts({ address: '/run/proxy', port: undefined })).toBe(true);
  });

  it.each([
    ['/run/proxy', undefined],
    [undefined, undefined],
    ['\0abstract', undefined],
    // A relative path may look like an address.
    ['10.0.0.1', undefined],
    ['::1', undefined],
  ])('of a unix socket, at %j, is trusted only by the word', (address, port) => {
    expect(trustedBy(['unix'])({ address, port })).toBe(true);
    expect(trustedBy(['unix', '0.0.0.0/0'])({ address, port })).toBe(true);
    expect(trustedBy(['0.0.0.0/0', '::/0'])({ address, port })).toBe(false);
  });

  it.each([undefined, '', '/run/proxy', 'localhost', '10.0.0', '10.0.0.1/8', 'unix'])(
    'of TCP that has %j as its address is never trusted',
    (address) => {
      expect(trustedBy(['unix', '0.0.0.0/0', '::/0'])(tcp(address))).toBe(false);
    },
  );

  it('is in a network exactly if it has the same first bits, in whichever notation', () => {
    const some = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    /** An address that differs in one bit, or not at all. */
    const network = some.chain((bytes) =>
      fc.record({
        bytes: fc.constant(bytes),
        bits: fc.nat(8 * bytes.length),
        flipped: fc.nat(8 * bytes.length),
        networkMapped: fc.boolean(),
        peerMapped: fc.boolean(),
      }),
    );
    const written = (bytes: Uint8Array, isMapped: boolean) => ipOfBytes(isMapped ? asIPv6(bytes) : bytes);
    fc.assert(
      fc.property(network, ({ bytes, bits, flipped, networkMapped, peerMapped }) => {
        fc.pre(bytes.length === 4 || !asIPv4(bytes));
        const shift = networkMapped && bytes.length === 4 ? 96 : 0;
        const peer = Uint8Array.from(bytes);
        if (flipped < 8 * bytes.length) {
          peer[flipped >> 3] = (peer[flipped >> 3] ?? 0) ^ (0x80 >> (flipped & 7));
        }
        const trusts = trustedBy([`${written(bytes, networkMapped)}/${bits + shift}`]);
        expect(trusts(tcp(written(peer, peerMapped)))).toBe(flipped >= bits);
      }),
      { numRuns: 1000 },
    );
  });

  it('is found by its bytes, not by its text', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        fc.pre(!asIPv4(bytesOfIp(address) ?? new Uint8Array(16)));
        expect(trustedBy([address])(tcp(ipOfBytes(bytesOfIp(address) ?? new Uint8Array(16))))).toBe(true);
      }),
    );
  });
});

describe('a list of networks', () => {
  const cannot = (list: unknown) => () => trustedBy(list as string[]);
  const neither = "networks must have IP addresses, networks such as 10.0.0.0/8, or 'unix', not";

  it.each([
    [
      undefined,
      "networks must be a list of at least one IP address, network such as 10.0.0.0/8, or 'unix', not undefined",
    ],
    [[], "networks must be a list of at least one IP address, network such as 10.0.0.0/8, or 'unix', not []"],
    [
      '10.0.0.1',
      "networks must be a list of at least one IP address, network such as 10.0.0.0/8, or 'unix', not '10.0.0.1'",
    ],
    [[1], 'networks must have strings only, not 1'],
    [['10.0.0.1', undefined], 'networks must have strings only, not undefined'],
    [[''], `${neither} ''`],
    [['localhost'], `${neither} 'localhost'`],
    [['10.0.0.1', 'proxy.example'], `${neither} 'proxy.example'`],
    [['10.0.0'], `${neither} '10.0.0'`],
    [['10.0.0/8'], `${neither} '10.0.0/8'`],
    [['010.0.0.0/8'], `${neither} '010.0.0.0/8'`],
    [['10.0.0.0/8/8'], `${neither} '10.0.0.0/8/8'`],
    [['10.0.0.0-10.0.0.9'], `${neither} '10.0.0.0-10.0.0.9'`],
    [['*'], `${neither} '*'`],
    [['10.0.0.1:80'], `${neither} '10.0.0.1:80'`],
    [['[::1]'], `${neither} '[::1]'`],
    [['fe80::1%eth0'], `${neither} 'fe80::1%eth0'`],
    [['fe80::%eth0/10'], `${neither} 'fe80::%eth0/10'`],
    [['/run/proxy'], `${neither} '/run/proxy'`],
    [['UNIX'], `${neither} 'UNIX'`],
  ])('%j is a TypeError', (list, message) => {
    expect(cannot(list)).toThrow(TypeError);
    expect(cannot(list)).toThrow(`Cannot trust peers: ${message}`);
  });

  it.each([
    ['10.0.0.0/33', "networks must have a length from 0 to 32 after the slash of 10.0.0.0, not '33'"],
    ['10.0.0.0/', "networks must have a length from 0 to 32 after the slash of 10.0.0.0, not ''"],
    ['10.0.0.0/-1', "networks must have a length from 0 to 32 after the slash of 10.0.0.0, not '-1'"],
    ['10.0.0.0/08', "networks must have a length from 0 to 32 after the slash of 10.0.0.0, not '08'"],
    ['10.0.0.0/255.0.0.0', "networks must have a length from 0 to 32 after the slash of 10.0.0.0, not '255.0.0.0'"],
    ['::/129', "networks must have a length from 0 to 128 after the slash of ::, not '129'"],
    [
      '::ffff:10.0.0.0/1000',
      "networks must have a length from 0 to 128 after the slash of ::ffff:10.0.0.0, not '1000'",
    ],
  ])('%j is a RangeError', (network, message) => {
    expect(cannot(['10.0.0.1', network])).toThrow(RangeError);
    expect(cannot([network])).toThrow(`Cannot trust peers: ${message}`);
  });

  it('may be changed afterwards without an effect', () => {
    const list = ['10.0.0.1'];
    const trusts = trustedBy(list);
    list[0] = '10.0.0.2';
    list.push('unix');
    expect([tcp('10.0.0.1'), tcp('10.0.0.2'), { address: undefined, port: undefined }].map(trusts)).toEqual([
      true,
      false,
      false,
    ]);
  });
});
