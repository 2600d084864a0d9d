/**
 * The polynomial of Castagnoli, 0x1EDC6F41, with its bits in reverse, because each byte counts from its lowest bit on. The PROXY
 * protocol takes it from RFC 4960, appendix B (section 2.2.3); the same checksum is in RFC 3720, section 12.1.
 */
const POLYNOMIAL = 0x82f63b78;

/** The remainder of each byte. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? POLYNOMIAL : 0);
  return remainder;
});

/**
 * The CRC32C of bytes.
 *
 * @param before The checksum of the bytes before these, if these continue a text.
 * @returns A whole number from 0 to 0xFFFFFFFF.
 */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ (TABLE[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  return ~crc >>> 0;
}
