import fc from 'fast-check';
import type { ProxyHeaderOptions } from '../../lib/proxyProtocol/encode.ts';
import type { ProxySsl } from '../../lib/proxyProtocol/header.ts';

/** Bytes of hexadecimal digits. Spaces are ignored. */
export const hex = (digits: string): Buffer => Buffer.from(digits.replace(/\s/g, ''), 'hex');

/** The signature of version 2, in hexadecimal digits. */
export const SIGNATURE = '0d0a0d0a000d0a515549540a';

/** The bytes of a header of version 2: the signature, the command and the family, the length, and what follows. */
export function binary(command: string, rest: string, length = hex(rest).length): Buffer {
  return hex(`${SIGNATURE}${command}${length.toString(16).padStart(4, '0')}${rest}`);
}

const port = fc.integer({ min: 0, max: 65_535 });

const ip = (address: fc.Arbitrary<string>) => fc.record({ address, port });
/** IPv6 addresses that have zeros in all places, as those in use have. */
const ipv6 = fc.oneof(
  fc.ipV6(),
  fc
    .array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
    .map((groups) => groups.map((group) => group.toString(16)).join(':')),
);

/** Two ends of a connection: of TCP, of a unix socket, and unknown ones. */
const ends = fc.oneof(
  fc.record({ source: ip(fc.ipV4()), destination: ip(fc.ipV4()) }),
  fc.record({ source: ip(ipv6), destination: ip(ipv6) }),
  fc.record({ source: ip(ipv6), destination: ip(fc.ipV4()) }),
  fc.record({
    source: fc.record({
      address: fc.constantFrom(undefined, '/run/client', '\0abstract', `/${'x'.repeat(107)}`),
      port: fc.constant(undefined),
    }),
    destination: fc.record({ address: fc.constantFrom('/run/é.sock', '\0a\0b'), port: fc.constant(undefined) }),
  }),
  fc.constant({}),
);

const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const latin1 = bytes(20).map((some) => Buffer.from(some).toString('latin1'));
const utf8 = fc.string({ unit: 'grapheme', maxLength: 20 });

const optional = <T extends object>(record: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(record, { requiredKeys: [] });

const texts = { version: latin1, cipher: latin1, sigAlg: latin1, keyAlg: latin1, group: latin1, sigScheme: latin1 };
const ssl = fc
  .tuple(
    fc.record({
      tls: fc.boolean(),
      certOnConnection: fc.boolean(),
      certInSession: fc.boolean(),
      verified: fc.boolean(),
    }),
    optional({ ...texts, cn: utf8, clientCert: bytes(40) }),
  )
  .map(
    ([flags, rest]): ProxySsl => ({
      ...flags,
      verified: flags.verified && flags.tls && (flags.certOnConnection || flags.certInSession),
      ...rest,
    }),
  );

const named = optional({ alpn: latin1, authority: utf8, uniqueId: bytes(128), ssl, netns: latin1 });

/** Types without a name, among them padding. */
const tlv = fc.record({ type: fc.constantFrom(0x00, 0x04, 0x06, 0x21, 0xe0, 0xea, 0xff), value: bytes(30) });

/** What a header of version 2 can have. */
export const binaryHeaders: fc.Arbitrary<ProxyHeaderOptions> = fc
  .tuple(
    ends,
    named,
    fc.record({ command: fc.constantFrom('proxy', 'proxy', 'local'), tlvs: fc.array(tlv, { maxLength: 3 }) }),
    fc.boolean(),
  )
  .map(([ends, named, rest, checksum]) => ({ ...ends, ...named, ...rest, checksum }));

/** What a line can have. */
export const lines: fc.Arbitrary<ProxyHeaderOptions> = ends.map((ends) => ({ version: 1, ...ends }));

export const headers: fc.Arbitrary<ProxyHeaderOptions> = fc.oneof(lines, binaryHeaders);
