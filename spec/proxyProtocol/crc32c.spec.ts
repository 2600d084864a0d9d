import { describe, expect, it } from 'vitest';
import { crc32c } from '../../lib/proxyProtocol/crc32c.ts';

/** The examples of RFC 3720, appendix B.4, which shows the checksum with its lowest byte first. */
const EXAMPLES: readonly (readonly [what: string, bytes: Uint8Array, checksum: number])[] = [
  ['no byte', new Uint8Array(0), 0],
  ['32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 bytes that count up', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['32 bytes that count down', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  [
    'an iSCSI command',
    Buffer.from(
      '01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000',
      'hex',
    ),
    0xd9963a56,
  ],
  ['the check value of the algorithm', Buffer.from('123456789'), 0xe3069283],
];

describe('crc32c', () => {
  it.each(EXAMPLES)('of %s is that of the standard', (_what, bytes, checksum) => {
    expect(crc32c(bytes)).toBe(checksum);
  });

  it.each(EXAMPLES)('of %s is the same in two parts', (_what, bytes, checksum) => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(checksum);
    }
  });
});
