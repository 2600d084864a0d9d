import { isIPv4, isIPv6 } from 'node:net';

/** The 4 or 16 bytes of an IP address, in network order; `undefined` if the text is not an IP address. A zone is left out. */
export function bytesOfIp(address: string): Uint8Array | undefined {
  const [text = ''] = address.split('%');
  if (isIPv4(address)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(address)) return undefined;
  const [head = '', tail] = text.split('::');
  const [before, after] = [groupsOf(head), groupsOf(tail ?? '')];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const all = [...before, ...Array<number>(zeros).fill(0), ...after];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The 16-bit groups of a part of an IPv6 address. The last part may be written like an IPv4 address. */
function groupsOf(part: string): number[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

/** The text of an IP address of 4 or 16 bytes: one text for each address, as RFC 5952 has it for IPv6. */
export function ipOfBytes(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const mapped = asIPv4(bytes);
  // Section 5 of RFC 5952 recommends this notation, and Node shows such a peer in it.
  if (mapped) return `::ffff:${mapped.join('.')}`;
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const [from, to] = longestZeros(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  return to - from < 2 ? hex(groups) : `${hex(groups.slice(0, from))}::${hex(groups.slice(to))}`;
}

/** Where the longest sequence of zeros begins and ends: the first one, if several are as long. */
function longestZeros(groups: readonly number[]): readonly [from: number, to: number] {
  let [from, to] = [0, 0];
  for (let i = 0; i < groups.length; i++) {
    let end = i;
    while (groups[end] === 0) end++;
    if (end - i > to - from) [from, to] = [i, end];
    i = Math.max(i, end);
  }
  return [from, to];
}

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** The IPv4 address in these bytes, if there is one. A socket for both families maps IPv4 addresses into IPv6. */
export function asIPv4(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length === 4) return bytes;
  return MAPPED.every((byte, i) => bytes[i] === byte) ? bytes.subarray(12) : undefined;
}

/** The bytes of the address in IPv6. */
export function asIPv6(bytes: Uint8Array): Uint8Array {
  return bytes.length === 16 ? bytes : Uint8Array.of(...MAPPED, ...bytes);
}
