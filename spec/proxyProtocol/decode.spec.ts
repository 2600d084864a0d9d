import { describe, expect, it } from 'vitest';
import { ProxyHeaderError } from '../../lib/errors.ts';
import { crc32c } from '../../lib/proxyProtocol/crc32c.ts';
import { decodeProxyHeader } from '../../lib/proxyProtocol/decode.ts';
import { binary, hex, SIGNATURE } from './headers.ts';

const NONE = { source: undefined, destination: undefined };
const line = (text: string) => Buffer.from(text, 'latin1');
/** A header of version 2 with the addresses 10.0.0.1:1 and 10.0.0.2:2, and fields. */
const withFields = (fields: string) => binary('2111', `0a0000010a00000200010002${fields}`);

/** What is decoded, with payload behind it. */
function decoded(bytes: Uint8Array): object {
  const answer = decodeProxyHeader(Buffer.concat([bytes, Buffer.from('GET /')]));
  if (answer.kind !== 'header') return answer;
  expect(answer.length).toBe(bytes.length);
  return answer.header;
}

const refusal = (bytes: Uint8Array): string => {
  try {
    return `no error: ${JSON.stringify(decodeProxyHeader(bytes))}`;
  } catch (error) {
    if (error instanceof ProxyHeaderError) return error.message;
    throw error;
  }
};
const refused = (why: string) => `Cannot read the PROXY header: ${why}`;

describe('version 1', () => {
  const common = { version: 1, command: 'proxy', tlvs: [] };
  const ipv6 = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';

  it.each([
    // The example of section 2.1, and its longest lines.
    ['PROXY TCP4 192.168.0.1 192.168.0.11 56324 443', '192.168.0.1', 56324, '192.168.0.11', 443],
    ['PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535', '255.255.255.255', 65535, '255.255.255.255', 65535],
    [`PROXY TCP6 ${ipv6} ${ipv6} 65535 65535`, ipv6, 65535, ipv6, 65535],
    ['PROXY TCP4 0.0.0.0 0.0.0.0 0 0', '0.0.0.0', 0, '0.0.0.0', 0],
    ['PROXY TCP6 ::1 2001:DB8:0:0:1:0:0:1 1 2', '::1', 1, '2001:db8::1:0:0:1', 2],
    ['PROXY TCP6 ::ffff:10.0.0.1 ::FFFF:0a00:2 1 2', '::ffff:10.0.0.1', 1, '::ffff:10.0.0.2', 2],
  ])('has the addresses of %s', (text, address, port, toAddress, toPort) => {
    expect(decoded(line(`${text}\r\n`))).toEqual({
      ...common,
      source: { address, port },
      destination: { address: toAddress, port: toPort },
    });
  });

  it.each([
    'PROXY UNKNOWN\r\n',
    'PROXY UNKNOWN \r\n',
    `PROXY UNKNOWN ${ipv6} ${ipv6} 65535 65535\r\n`,
    'PROXY UNKNOWN 1.2.3.4 no\0thing \xff\r\n',
  ])('ignores what follows UNKNOWN: %j', (text) => {
    expect(decoded(line(text))).toEqual({ ...common, ...NONE });
  });

  const protocol = 'its protocol is not TCP4, TCP6 or UNKNOWN';
  it.each([
    // The words.
    ['PROXYTCP4', protocol],
    ['PROXY  TCP4', protocol],
    ['PROXY\tTCP4', protocol],
    ['PROXY TCP5', protocol],
    ['PROXY tcp4', protocol],
    ['PROXY UDP4', protocol],
    ['PROXY TCP4\r\n', 'after TCP4 there must be 4 fields, not 0'],
    ['PROXY unknown\r\n', protocol],
    ['PROXY \r\n', protocol],
    ['PROXY\r\n', protocol],
    ['PROXY UNKNOWNS\r\n', protocol],
    // The fields.
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n', 'after TCP4 there must be 4 fields, not 3'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n', 'after TCP4 there must be 4 fields, not 5'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1  2\r\n', 'after TCP4 there must be 4 fields, not 5'],
    ['PROXY TCP4 \r\n', 'after TCP4 there must be 4 fields, not 1'],
    ['PROXY TCP4  5.6.7.8 1 2\r\n', "'' is not an address of TCP4"],
    // The addresses.
    ['PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n', "'01.2.3.4' is not an address of TCP4"],
    ['PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n', "'1.2.3' is not an address of TCP4"],
    ['PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n', "'1.2.3.256' is not an address of TCP4"],
    ['PROXY TCP4 0x1.2.3.4 5.6.7.8 1 2\r\n', "'0x1.2.3.4' is not an address of TCP4"],
    ['PROXY TCP4 16909060 5.6.7.8 1 2\r\n', "'16909060' is not an address of TCP4"],
    ['PROXY TCP4 1.2.3.4 ::1 1 2\r\n', "'::1' is not an address of TCP4"],
    ['PROXY TCP4 1.2.3.4 localhost 1 2\r\n', "'localhost' is not an address of TCP4"],
    ['PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n', "'1.2.3.4' is not an address of TCP6"],
    ['PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n', "'fe80::1%eth0' is not an address of TCP6"],
    ['PROXY TCP6 [::1] ::1 1 2\r\n', "'[::1]' is not an address of TCP6"],
    ['PROXY TCP6 ::1::2 ::1 1 2\r\n', "'::1::2' is not an address of TCP6"],
    ['PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n', "'1:2:3:4:5:6:7' is not an address of TCP6"],
    ['PROXY TCP6 12345:: ::1 1 2\r\n', "'12345::' is not an address of TCP6"],
    ['PROXY TCP6 ::ffff:01.2.3.4 ::1 1 2\r\n', "'::ffff:01.2.3.4' is not an address of TCP6"],
    // The ports.
    ['PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n', "'65536' is not a port"],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n', "'99999' is not a port"],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n', "'01' is not a port"],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 00\r\n', "'00' is not a port"],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n', "'+1' is not a port"],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n', "'-1' is not a port"],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1e3 2\r\n', "'1e3' is not a port"],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\t\r\n', "'2\\t' is not a port"],
    // The end of the line.
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n', 'its line has an LF without a CR'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rG', 'its line has a CR without an LF'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n', 'its line has a CR without an LF'],
    ['PROXY UNKNOWN\nGET / HTTP/1.1\r\n', 'its line has an LF without a CR'],
    ['PROXY UNKNOWN\rGET / HTTP/1.1\r\n', 'its line has a CR without an LF'],
    ['PROXY\n', 'its line has an LF without a CR'],
  ])('refuses %j', (text, why) => {
    expect(refusal(line(text))).toBe(refused(why));
  });

  it('has at most 107 bytes, with its CRLF', () => {
    const start = 'PROXY UNKNOWN ';
    const longest = `${start}${'x'.repeat(105 - start.length)}\r\n`;
    expect(longest).toHaveLength(107);
    expect(decoded(line(longest))).toEqual({ ...common, ...NONE });
    for (let length = 15; length < 107; length++) {
      const isLast = length >= 106;
      expect(decodeProxyHeader(line(longest.slice(0, length)))).toEqual({
        kind: 'more',
        needs: isLast ? 107 : length + 2,
      });
    }
    const tooLong = refused('its line does not end within 107 bytes');
    expect(refusal(line(`${start}${'x'.repeat(106 - start.length)}`))).toBe(tooLong);
    expect(refusal(line(`${start}${'x'.repeat(106 - start.length)}\r`))).toBe(tooLong);
    expect(refusal(line(`${start}${'x'.repeat(106 - start.length)}\r\n`))).toBe(tooLong);
    expect(refusal(line(`${start}${'x'.repeat(70_000)}`))).toBe(tooLong);
  });
});

describe('version 2', () => {
  const common = { version: 2, command: 'proxy' };

  it.each([
    [
      '11',
      'c0a80001c0a8000bdc0401bb',
      { source: { address: '192.168.0.1', port: 56324 }, destination: { address: '192.168.0.11', port: 443 } },
    ],
    [
      '21',
      `20010db8${'00'.repeat(11)}01${'00'.repeat(10)}ffff0a000002${'00010002'}`,
      { source: { address: '2001:db8::1', port: 1 }, destination: { address: '::ffff:10.0.0.2', port: 2 } },
    ],
    // Paths end at a NUL, or have all 108 bytes; what follows the NUL is ignored.
    [
      '31',
      `2f61${'00'.repeat(106)}${'78'.repeat(108)}`,
      { source: { address: '/a', port: undefined }, destination: { address: 'x'.repeat(108), port: undefined } },
    ],
    [
      '31',
      `2f610078${'ff'.repeat(104)}00616200${'63'}${'00'.repeat(103)}`,
      { source: { address: '/a', port: undefined }, destination: { address: '\0ab\0c', port: undefined } },
    ],
    [
      '31',
      `${'00'.repeat(108)}2fc3a9${'00'.repeat(105)}`,
      { source: { address: undefined, port: undefined }, destination: { address: '/é', port: undefined } },
    ],
    ['00', '', NONE],
    // Datagrams.
    ['12', 'c0a80001c0a8000bdc0401bb', NONE],
    ['22', '11'.repeat(36), NONE],
    ['32', '11'.repeat(216), NONE],
  ])('has the addresses of family %s: %s', (family, rest, ends) => {
    expect(decoded(binary(`21${family}`, rest))).toEqual({ ...common, ...ends, tlvs: [] });
    const tlvs = [{ type: 0xe0, value: Uint8Array.of(1) }];
    expect(decoded(binary(`21${family}`, `${rest}e0000101`))).toEqual({ ...common, ...ends, tlvs });
  });

  it.each([
    ['10', 'version 1 is not supported in a binary header'],
    ['01', 'version 0 is not supported in a binary header'],
    ['31', 'version 3 is not supported in a binary header'],
    ['22', 'command 2 is unknown'],
    ['2f', 'command 15 is unknown'],
  ])('refuses the version and command %s at once', (command, why) => {
    expect(refusal(hex(SIGNATURE + command))).toBe(refused(why));
  });

  it('refuses each family that is not specified at once', () => {
    const specified = [0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32];
    for (let family = 0; family < 256; family++) {
      const bytes = Buffer.concat([hex(`${SIGNATURE}21`), Uint8Array.of(family)]);
      const why = `address family ${family >> 4} with transport ${family & 15} is not specified`;
      const more = 'no error: {"kind":"more","needs":16}';
      expect(refusal(bytes)).toBe(specified.includes(family) ? more : refused(why));
    }
  });

  it.each([
    ['11', 12],
    ['12', 12],
    ['21', 36],
    ['22', 36],
    ['31', 216],
    ['32', 216],
  ])('refuses a length that is too short for family %s as soon as it is known', (family, size) => {
    for (let length = 0; length <= size; length++) {
      const why = `it has ${16 + length} bytes, too few for its addresses, which end at ${16 + size}`;
      const more = `no error: {"kind":"more","needs":${16 + size}}`;
      expect(refusal(binary(`21${family}`, '', length))).toBe(length < size ? refused(why) : more);
    }
  });

  it('refuses a header of more than 16384 bytes as soon as it is announced', () => {
    const why = (length: number) => refused(`it has ${length} bytes, at most 16384 allowed`);
    expect(refusal(binary('2111', '', 16_369))).toBe(why(16_385));
    expect(refusal(binary('2000', '', 65_535))).toBe(why(65_551));
    expect(decodeProxyHeader(binary('2111', '', 16_368))).toEqual({ kind: 'more', needs: 16_384 });
    const longest = binary('2111', `${'00'.repeat(12)}04${(16_353).toString(16)}${'00'.repeat(16_353)}`);
    expect(longest).toHaveLength(16_384);
    expect(decoded(longest)).toMatchObject({ tlvs: [{ type: 4, value: new Uint8Array(16_353) }] });
  });

  describe('of a connection of the proxy itself', () => {
    const local = { version: 2, command: 'local', ...NONE };
    const tlvs = [{ type: 2, value: Uint8Array.of(0x61) }];

    it.each([
      ['nothing else', '2000', '', { tlvs: [] }],
      ['addresses', '2011', 'c0a80001c0a8000bdc0401bb', { tlvs: [] }],
      ['fields', '2000', '02000161', { authority: 'a', tlvs }],
      ['addresses and fields', '2011', `${'00'.repeat(12)}02000161`, { authority: 'a', tlvs }],
      ['a family that is not specified', '20ff', '02000161', { authority: 'a', tlvs }],
      ['too few bytes for its addresses', '2021', '00', { tlvs: [] }],
      ['a field that runs past its end', '2000', '02000261', { tlvs: [] }],
      ['a value that is not possible', '2000', `0500810${'0'.repeat(257)}`, { tlvs: [] }],
    ])('has no addresses, and is accepted with %s', (_, command, rest, fields) => {
      expect(decoded(binary(command, rest))).toEqual({ ...local, ...fields });
    });

    it('is refused with a wrong checksum, because the command may be damaged', () => {
      expect(refusal(binary('2011', `${'00'.repeat(12)}03000400000000`))).toBe(refused('its checksum is wrong'));
    });
  });
});

describe('fields', () => {
  const fieldsOf = (fields: string) => {
    const { version, command, source, destination, tlvs, ...named } = decoded(withFields(fields)) as Record<
      string,
      unknown
    >;
    expect([version, command, source, destination]).toEqual([
      2,
      'proxy',
      { address: '10.0.0.1', port: 1 },
      { address: '10.0.0.2', port: 2 },
    ]);
    return { named, tlvs };
  };

  it.each([
    ['alpn', '0100026832', 'h2'],
    ['alpn', '01000400ff8068', '\0\xff\x80h'],
    ['authority', '0200046578c3a9', 'exé'],
    ['authority', '020001ff', '\ufffd'],
    ['authority', '020000', ''],
    ['uniqueId', '0500020001', Uint8Array.of(0, 1)],
    ['uniqueId', `050080${'ab'.repeat(128)}`, new Uint8Array(128).fill(0xab)],
    ['netns', '3000046e732d31', 'ns-1'],
  ] as const)('%s is read of %s', (name, fields, value) => {
    expect(fieldsOf(fields).named).toEqual({ [name]: value });
  });

  it('without a name are listed with the others, in their order', () => {
    expect(fieldsOf('e000020102 040001ff 0200016d 000000 ff000103')).toEqual({
      named: { authority: 'm' },
      tlvs: [
        { type: 0xe0, value: Uint8Array.of(1, 2) },
        { type: 0x04, value: Uint8Array.of(0xff) },
        { type: 0x02, value: Uint8Array.of(0x6d) },
        { type: 0x00, value: Uint8Array.of() },
        { type: 0xff, value: Uint8Array.of(3) },
      ],
    });
  });

  it('with the same type count once, the first one', () => {
    expect(fieldsOf('0200016d 0200016e')).toMatchObject({
      named: { authority: 'm' },
      tlvs: [{ type: 2 }, { type: 2 }],
    });
  });

  it.each([
    ['a field without a length', '02', 'a field runs past its end'],
    ['a field with half a length', '0200', 'a field runs past its end'],
    ['a field whose value is missing', '020001', 'a field runs past its end'],
    ['a second field that is cut', '020001610200026d', 'a field runs past its end'],
    ['a unique id of 129 bytes', `050081${'00'.repeat(129)}`, 'its unique id has 129 bytes, at most 128 allowed'],
    ['a TLS field of 4 bytes', '20000401000000', 'its TLS field has 4 bytes, fewer than 5'],
    ['a TLS field whose last field is cut', '20000801000000002100 01', 'a field of its TLS field runs past the end'],
    ['a TLS field with a byte too many', '2000060100000000 21', 'a field of its TLS field runs past the end'],
  ])('refuses %s', (_, fields, why) => {
    expect(refusal(withFields(fields))).toBe(refused(why));
  });
});

describe('TLS', () => {
  const of = (value: string) => {
    const length = hex(value).length.toString(16).padStart(4, '0');
    return (decoded(withFields(`20${length}${value}`)) as { ssl: object }).ssl;
  };
  const none = { tls: false, certOnConnection: false, certInSession: false, verified: false };

  it.each([
    ['00 00000000', none],
    ['01 00000001', { ...none, tls: true }],
    // HAProxy sends this without a certificate.
    ['01 00000000', { ...none, tls: true }],
    ['07 00000000', { tls: true, certOnConnection: true, certInSession: true, verified: true }],
    ['05 00000000', { ...none, tls: true, certInSession: true, verified: true }],
    ['03 00000000', { ...none, tls: true, certOnConnection: true, verified: true }],
    ['07 00000012', { ...none, tls: true, certOnConnection: true, certInSession: true }],
    ['07 01000000', { ...none, tls: true, certOnConnection: true, certInSession: true }],
    ['06 00000000', { ...none, certOnConnection: true, certInSession: true }],
    ['f8 00000000', none],
  ])('has the bits and the result of %s', (value, ssl) => {
    expect(of(value)).toEqual(ssl);
  });

  it('has each of its fields', () => {
    const field = (type: string, text: string) =>
      `${type}${text.length.toString(16).padStart(4, '0')}${Buffer.from(text, 'latin1').toString('hex')}`;
    const fields = [
      field('21', 'TLSv1.3'),
      field('22', 'm\xc3\xa9'),
      field('23', 'ECDHE-RSA-AES128-GCM-SHA256'),
      field('24', 'RSA-SHA256'),
      field('25', 'RSA2048'),
      field('26', 'secp256r1'),
      field('27', 'rsa_pss_rsae_sha256'),
      field('28', '\x30\x82'),
      field('e0', 'other'),
      field('21', 'second'),
    ];
    expect(of(`0100000001${fields.join('')}`)).toEqual({
      ...none,
      tls: true,
      version: 'TLSv1.3',
      cn: 'mé',
      cipher: 'ECDHE-RSA-AES128-GCM-SHA256',
      sigAlg: 'RSA-SHA256',
      keyAlg: 'RSA2048',
      group: 'secp256r1',
      sigScheme: 'rsa_pss_rsae_sha256',
      clientCert: Uint8Array.of(0x30, 0x82),
    });
  });
});

describe('the checksum', () => {
  /** A header with a checksum at each place of its fields. */
  const sealed = (before: string, after = '') => {
    const bytes = withFields(`${before}03000400000000${after}`);
    bytes.writeUInt32BE(crc32c(bytes), 28 + hex(before).length + 3);
    return bytes;
  };

  it('is that of the whole header with zeros in its place, and is not that of the payload', () => {
    // Computed by HAProxy 2.6 for these addresses and ports.
    expect(sealed('').subarray(28).toString('hex')).toBe('03000438300fcb');
    for (const bytes of [sealed(''), sealed('02000161'), sealed('', '02000161'), sealed('040000', 'e00000')]) {
      expect(decoded(bytes)).toMatchObject({ source: { address: '10.0.0.1', port: 1 } });
    }
  });

  it('is wrong if any bit of the header is another one, or was another type', () => {
    const bytes = sealed('02000161', 'e00000');
    // Behind the signature, version, command, family and length, and without the types and lengths of the fields.
    const checked = [...Array.from({ length: 12 }, (_, i) => 16 + i), 31, ...[35, 36, 37, 38], 39];
    for (const at of checked) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = Uint8Array.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
        expect(refusal(damaged)).toBe(refused('its checksum is wrong'));
      }
    }
  });

  it.each([
    ['twice', '03000400000000 03000400000000', 'it has two checksums'],
    ['with 3 bytes', '030003000000', 'its checksum has 3 bytes, not 4'],
    ['with 5 bytes', '0300050000000000', 'its checksum has 5 bytes, not 4'],
    ['empty', '030000', 'its checksum has 0 bytes, not 4'],
  ])('is refused %s', (_, fields, why) => {
    expect(refusal(withFields(fields))).toBe(refused(why));
  });
});

describe('bytes that are no header', () => {
  const v1 = 'PROXY';
  const v2 = hex(SIGNATURE).toString('latin1');

  it('are absent from the first byte on that differs from both signatures', () => {
    for (const signature of [v1, v2]) {
      for (let at = 0; at < signature.length; at++) {
        const bytes = line(`${signature.slice(0, at)}\x01`);
        expect(decodeProxyHeader(bytes)).toEqual({ kind: 'absent' });
        expect(decodeProxyHeader(Buffer.concat([bytes, Buffer.alloc(100)]))).toEqual({ kind: 'absent' });
      }
    }
  });

  it.each(['GET / HTTP/1.1\r\n', 'proxy TCP4', 'PROXx', '\r\n\r\n\r\n', '\x16\x03\x01', 'PRI * HTTP/2.0', ' PROXY'])(
    'such as %j are absent',
    (text) => {
      expect(decodeProxyHeader(line(text))).toEqual({ kind: 'absent' });
    },
  );

  it.each([
    ['', 15],
    ['P', 15],
    ['PROXY', 15],
    ['PROXY TCP4 1.2.', 17],
    ['\r', 16],
    ['\r\n\r\n', 16],
    [v2, 16],
  ])('may become one after %j, with %d bytes', (text, needs) => {
    expect(decodeProxyHeader(line(text))).toEqual({ kind: 'more', needs });
  });
});
