import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressKeys, PREFIX } from '../../lib/listen/addressKey.ts';
import { ipOfBytes } from '../../lib/proxyProtocol/ip.ts';

/** An address as a number, and how many bits it has. */
interface Ip {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

const MAPPED = 0xffffn << 32n;

/** The address as it counts: an IPv4 address that is mapped into IPv6 is an IPv4 address. */
const plain = ({ bits, value }: Ip): Ip =>
  bits === 128 && value >> 32n === MAPPED >> 32n ? { bits: 32, value: value & 0xffffffffn } : { bits, value };

/** Whether two addresses have the same first bits. */
function agree(one: Ip, other: Ip, prefix: { 4: number; 6: number }): boolean {
  const [a, b] = [plain(one), plain(other)];
  if (a.bits !== b.bits) return false;
  const rest = BigInt(a.bits - prefix[a.bits === 32 ? 4 : 6]);
  return a.value >> rest === b.value >> rest;
}

const bytesOf = ({ bits, value }: Ip) =>
  Uint8Array.from({ length: bits / 8 }, (_, i) => Number((value >> BigInt(bits - 8 * (i + 1))) & 0xffn));

const groupsOf = ({ value }: Ip) =>
  Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn));

/** Ways to write one address. */
const texts: Record<string, (ip: Ip) => string> = {
  short: (ip) => ipOfBytes(bytesOf(ip)),
  long: (ip) =>
    ip.bits === 32
      ? ipOfBytes(bytesOf(ip))
      : groupsOf(ip)
          .map((group) => group.toString(16).padStart(4, '0'))
          .join(':'),
  'in capital letters': (ip) => ipOfBytes(bytesOf(ip)).toUpperCase(),
  'with a zone': (ip) => (ip.bits === 32 ? ipOfBytes(bytesOf(ip)) : `${ipOfBytes(bytesOf(ip))}%eth0`),
  'with an end like IPv4': (ip) =>
    ip.bits === 32
      ? ipOfBytes(bytesOf(ip))
      : `${groupsOf(ip)
          .slice(0, 6)
          .map((group) => group.toString(16))
          .join(':')}:${ipOfBytes(bytesOf(ip).subarray(12))}`,
};

const ipv4 = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Ip => ({ bits: 32, value }));
const ipv6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value): Ip => ({ bits: 128, value }));
const mapped = ipv4.map(({ value }): Ip => ({ bits: 128, value: MAPPED | value }));
const some = fc.oneof(ipv4, ipv6, mapped);

/** An address, and one that differs from it in one bit, or is the same, or is the same in IPv6. */
const pair = fc.oneof(
  fc.tuple(some, some),
  fc
    .tuple(some, fc.nat(127))
    .map(([ip, bit]): [Ip, Ip] => [ip, { bits: ip.bits, value: ip.value ^ (1n << BigInt(bit % ip.bits)) }]),
  some.map((ip): [Ip, Ip] => [ip, ip]),
  ipv4.map((ip): [Ip, Ip] => [ip, { bits: 128, value: MAPPED | ip.value }]),
);

const prefixes = fc.oneof(
  fc.constant(PREFIX),
  fc.record({ 4: fc.integer({ min: 1, max: 32 }), 6: fc.integer({ min: 1, max: 128 }) }),
);

describe('the name of a peer', () => {
  it('is the same for two addresses if and only if their first bits are, however they are written', () => {
    const way = fc.constantFrom(...Object.values(texts));
    let same = 0;
    fc.assert(
      fc.property(pair, prefixes, way, way, ([one, other], prefix, write, writeOther) => {
        const keyOf = addressKeys(prefix);
        const [a, b] = [write(one), writeOther(other)].map((address) => keyOf({ address, port: 1 }));
        const expected = agree(one, other, prefix);
        if (expected) same++;
        expect(a === b).toBe(expected);
        expect(a).not.toBeUndefined();
      }),
      { numRuns: 2000 },
    );
    expect(same).toBeGreaterThan(500);
  });

  it('does not depend on its port', () => {
    const keyOf = addressKeys(PREFIX);
    expect(keyOf({ address: '192.0.2.1', port: 1 })).toBe(keyOf({ address: '192.0.2.1', port: 2 }));
  });

  it('is by default the whole address of IPv4, and half of one of IPv6', () => {
    const keyOf = addressKeys(PREFIX);
    const key = (address: string) => keyOf({ address, port: 1 });
    expect(key('192.0.2.1')).not.toBe(key('192.0.2.2'));
    expect(key('2001:db8::1')).toBe(key('2001:db8:0:0:ffff::'));
    expect(key('2001:db8::1')).not.toBe(key('2001:db8:0:1::1'));
  });

  it.each([
    ['of a unix socket', { address: undefined, port: undefined }],
    ['of a unix socket with a path', { address: '/run/a.sock', port: undefined }],
    ['that has left before its address could be looked up', { address: undefined, port: 1 }],
  ])('is not known for the peer %s', (_what, peer) => {
    expect(addressKeys(PREFIX)(peer)).toBeUndefined();
    expect(addressKeys({ 4: 8, 6: 8 })(peer)).toBeUndefined();
  });

  it('is what a network calls it that has no IP addresses', () => {
    expect(addressKeys({ 4: 24, 6: 64 })({ address: 'memory', port: 1 })).toBe('memory');
    expect(addressKeys(PREFIX)({ address: 'a:b', port: 1 })).toBe('a:b');
  });
});
