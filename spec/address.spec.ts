import fc from 'fast-check';
import { expect, it } from 'vitest';
import { plainAddress } from '../lib/address.ts';

const octet = fc.nat(255);
const ipv4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));

it('an IPv4 address that is mapped into IPv6 is shown in its plain form', () => {
  fc.assert(
    fc.property(ipv4, fc.constantFrom('::ffff:', '::FFFF:'), (address, prefix) => {
      expect(plainAddress(`${prefix}${address}`)).toBe(address);
      expect(plainAddress(address)).toBe(address);
    }),
  );
});

it.each([
  '::1',
  '::',
  '::ffff:1234',
  '::ffff:0',
  '::ffff:102:304',
  '::1:ffff:192.0.2.1',
  '::192.0.2.1',
  '64:ff9b::192.0.2.1',
  '2001:db8::1',
  'fe80::1%eth0',
  'memory',
  '/run/some.sock',
  undefined,
])('any other address is shown as it is: %s', (address) => {
  expect(plainAddress(address)).toBe(address);
});
