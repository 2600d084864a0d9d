import { isIPv4, isIPv6 } from 'node:net';
import type { Address } from '../../lib/index.ts';

/** The first bytes of every header. No text protocol begins with them. */
const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/** Version 2 with each command: a connection for a client, or one of the proxy itself. */
const PROXY = 0x21;
const LOCAL = 0x20;
/** Address families, each over a byte stream. */
const UNKNOWN = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;

/**
 * The header of the PROXY protocol, version 2: carries the address of the client to the backend. It is binary, and sent once,
 * before the first byte of the client.
 *
 * @param peer The address of the client.
 * @param local The address that the client has connected to.
 */
export function proxyHeader(peer: Address, local: Address): Buffer {
  const ports = Buffer.alloc(4);
  const [from, to] = [bytesOf(peer.address), bytesOf(local.address)];
  if (from === undefined || to === undefined) return header(PROXY, UNKNOWN, []);
  ports.writeUInt16BE(peer.port ?? 0, 0);
  ports.writeUInt16BE(local.port ?? 0, 2);
  const [source, destination] = [asIPv4(from), asIPv4(to)];
  if (source && destination) return header(PROXY, TCP4, [source, destination, ports]);
  return header(PROXY, TCP6, [asIPv6(from), asIPv6(to), ports]);
}

/** The header of a health check, which is a connection of the proxy itself. */
export const localHeader = (): Buffer => header(LOCAL, UNKNOWN, []);

function header(command: number, family: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([...SIGNATURE, command, family, body.length >> 8, body.length & 0xff]), body]);
}

/** The 4 or 16 bytes of an IP address, in network order; `undefined` if the text is not an IP address. */
export function bytesOf(address = ''): Uint8Array | undefined {
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number);
  const [text = ''] = address.split('%');
  if (!isIPv6(text)) return undefined;
  const [head = '', tail] = text.split('::');
  const [before, after] = [groups(head), groups(tail ?? '')];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const all = [...before, ...Array<number>(zeros).fill(0), ...after];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The 16-bit groups of a part of an IPv6 address. The last part may be written like an IPv4 address. */
function groups(part: string): number[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** The IPv4 address in these bytes, if there is one. A socket for both families maps IPv4 addresses into IPv6. */
function asIPv4(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length === 4) return bytes;
  return MAPPED.every((byte, i) => bytes[i] === byte) ? bytes.subarray(12) : undefined;
}

const asIPv6 = (bytes: Uint8Array): Uint8Array => (bytes.length === 16 ? bytes : Buffer.concat([MAPPED, bytes]));
