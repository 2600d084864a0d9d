import { isIPv6, SocketAddress } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asIPv4, asIPv6, bytesOfIp, ipOfBytes } from '../../lib/proxyProtocol/ip.ts';
import { hex } from './headers.ts';

/** 16 bytes with zeros in all places. */
const sixteen = fc
  .array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff])));

describe('the bytes of an IP address', () => {
  it('are the same in any notation of IPv6', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const bytes = bytesOfIp(address);
        expect(bytes).toHaveLength(16);
        const groups = Array.from({ length: 8 }, (_, i) =>
          (((bytes?.[2 * i] ?? 0) << 8) | (bytes?.[2 * i + 1] ?? 0)).toString(16),
        );
        const same = (text: string) => new URL(`http://[${text}]/`).hostname;
        expect(same(groups.join(':'))).toBe(same(address));
      }),
    );
  });

  it.each([
    ['1.2.3.4', '01020304'],
    ['255.255.255.255', 'ffffffff'],
    ['::', '00'.repeat(16)],
    ['::1', `${'00'.repeat(15)}01`],
    ['1::', `0001${'00'.repeat(14)}`],
    ['2001:DB8::0A:1%eth0', `20010db8${'00'.repeat(8)}000a0001`],
    ['::ffff:10.0.0.1', `${'00'.repeat(10)}ffff0a000001`],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
  ])('of %s are %s', (address, bytes) => {
    expect(bytesOfIp(address)).toEqual(Uint8Array.from(hex(bytes)));
  });

  it.each(['', 'localhost', '1.2.3', '01.2.3.4', '1.2.3.4/8', '1.2.3.4%1', '::1::', '12345::', '/run/socket', ' ::1'])(
    'are undefined for %j',
    (text) => {
      expect(bytesOfIp(text)).toBeUndefined();
    },
  );
});

describe('the text of an IP address', () => {
  it('leads back to its bytes', () => {
    fc.assert(
      fc.property(fc.oneof(sixteen, fc.uint8Array({ minLength: 4, maxLength: 4 })), (bytes) => {
        expect(bytesOfIp(ipOfBytes(bytes))).toEqual(bytes);
      }),
    );
  });

  // Node has an IPv4 address in the last group of `::/96`, which RFC 5952 does not recommend, and which no client has.
  it('is that of Node for a socket', () => {
    fc.assert(
      fc.property(sixteen, (bytes) => {
        fc.pre(bytes.subarray(0, 12).some((byte) => byte !== 0));
        const address = Array.from({ length: 8 }, (_, i) => Buffer.from(bytes).toString('hex', 2 * i, 2 * i + 2)).join(
          ':',
        );
        expect(isIPv6(address)).toBe(true);
        expect(ipOfBytes(bytes)).toBe(new SocketAddress({ address, family: 'ipv6' }).address);
      }),
    );
  });

  // The examples of RFC 5952, section 4, and of section 5.
  it.each([
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:DB8::AAAA:0:0:1', '2001:db8::aaaa:0:0:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['fe80:0:0:0:0:0:0:0', 'fe80::'],
    ['0:0:0:0:0:ffff:c000:201', '::ffff:192.0.2.1'],
    ['0:0:0:0:0:0:c000:201', '::c000:201'],
  ])('of %s is %s', (address, text) => {
    expect(ipOfBytes(bytesOfIp(address) ?? hex(''))).toBe(text);
  });
});

it.each([
  ['10.0.0.1', true],
  ['::ffff:10.0.0.1', true],
  ['::10.0.0.1', false],
  ['64:ff9b::10.0.0.1', false],
])('whether %s is an IPv4 address: %s', (text, is) => {
  const bytes = bytesOfIp(text) ?? hex('');
  expect(asIPv4(bytes)).toEqual(is ? Uint8Array.of(10, 0, 0, 1) : undefined);
  if (is) expect(ipOfBytes(asIPv6(bytes))).toBe('::ffff:10.0.0.1');
});
