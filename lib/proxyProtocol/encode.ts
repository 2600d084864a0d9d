import { type Checks, check, describe, flag, isBytes, object, oneOf, type Violation } from '../options.ts';
import type { Address } from '../transport/transport.ts';
import { crc32c } from './crc32c.ts';
import type { ProxySsl, ProxyTlv } from './header.ts';
import { asIPv4, asIPv6, bytesOfIp, ipOfBytes } from './ip.ts';
import { encodeTlv, NAMED, UNIQUE_ID_BYTES, writeFields } from './tlvs.ts';
import {
  CRC32C,
  CRC32C_BYTES,
  FIXED,
  LOCAL,
  MAX_HEADER_BYTES,
  PATH_BYTES,
  PROXY,
  SIGNATURE,
  TCP4,
  TCP6,
  TLV_FIXED,
  UNIX_STREAM,
  UNSPEC,
} from './wire.ts';

/** What {@link encodeProxyHeader} encodes. A decoded {@link ProxyHeader} can be passed as it is, to pass it on. */
export interface ProxyHeaderOptions {
  /**
   * The version of the format: 1 is a line of text, which has the addresses only; 2 is binary.
   * @default 2
   */
  readonly version?: 1 | 2 | undefined;
  /**
   * `'proxy'` for a connection that is relayed for a client; `'local'` for one of the proxy itself, such as a health check, whose
   * addresses are left out. Version 1 has only `'proxy'`.
   * @default 'proxy'
   */
  readonly command?: 'proxy' | 'local' | undefined;
  /**
   * The address of the client, such as `connection.peer`: an IP address and a port, or the path of a unix socket.
   * @default unknown
   */
  readonly source?: Address | undefined;
  /**
   * The address that the client connected to, such as `connection.local`.
   * @default unknown
   */
  readonly destination?: Address | undefined;
  /**
   * The protocol that was negotiated with the client, such as `'h2'`. Each character is a byte.
   * @default none
   */
  readonly alpn?: string | undefined;
  /**
   * The host name that the client asked for.
   * @default none
   */
  readonly authority?: string | undefined;
  /**
   * What identifies the connection across proxies, at most 128 bytes.
   * @default none
   */
  readonly uniqueId?: Uint8Array | undefined;
  /**
   * What is known about TLS between the client and the proxy. What is left out is false, or not sent.
   * @default none
   */
  readonly ssl?: Partial<ProxySsl> | undefined;
  /**
   * The name of the network namespace. Each character is a byte.
   * @default none
   */
  readonly netns?: string | undefined;
  /**
   * Further fields, in their order. A field is left out if an option above has its type, and a checksum is always left out.
   * @default none
   */
  readonly tlvs?: readonly ProxyTlv[] | undefined;
  /**
   * Whether to add a checksum, by which a receiver notices that the header is damaged.
   * @default false
   */
  readonly checksum?: boolean | undefined;
}

const address = (value: unknown): Violation | undefined => {
  if (typeof value !== 'object' || value === null) return `must be an address and a port, not ${describe(value)}`;
  const { address, port } = value as Partial<Address>;
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    const wrong = `.port must be a whole number from 0 to 65535, or undefined, not ${describe(port)}`;
    return typeof port === 'number' ? { outOfRange: wrong } : wrong;
  }
  if (address === undefined) return undefined;
  if (typeof address !== 'string' || address === '') return `.address must be an address, not ${describe(address)}`;
  if (bytesOfIp(address)) return undefined;
  if (port !== undefined) return `.address must be an IP address, because there is a port, not ${describe(address)}`;
  const length = Buffer.byteLength(address);
  if (length > PATH_BYTES)
    return { outOfRange: `.address must have at most ${PATH_BYTES} bytes in UTF-8, not ${length}` };
  // The path is padded with NULs, and ends at the first one; an abstract name begins with one.
  const hasNul = address.startsWith('\0') ? address.endsWith('\0') : address.includes('\0');
  return hasNul ? `.address must be a path without a NUL in or after it, not ${describe(address)}` : undefined;
};

const utf8 = (value: unknown): Violation | undefined =>
  typeof value === 'string' ? undefined : `must be a string, not ${describe(value)}`;

const latin1 = (value: unknown): Violation | undefined => {
  if (typeof value !== 'string') return utf8(value);
  return /^[\0-\xff]*$/.test(value) ? undefined : `must have characters of one byte each, not ${describe(value)}`;
};

const someBytes = (value: unknown): Violation | undefined =>
  isBytes(value) ? undefined : `must be a Uint8Array, not ${describe(value)}`;

const uniqueId = (value: unknown): Violation | undefined => {
  if (!isBytes(value) || value.length <= UNIQUE_ID_BYTES) return someBytes(value);
  return { outOfRange: `must have at most ${UNIQUE_ID_BYTES} bytes, not ${value.length}` };
};

const tlvs = (value: unknown): Violation | undefined => {
  if (!Array.isArray(value)) return `must be a list of { type, value }, not ${describe(value)}`;
  for (const tlv of value) {
    const { type, value: bytes } = (tlv ?? {}) as Partial<ProxyTlv>;
    if (typeof type !== 'number' || !isBytes(bytes)) {
      return `must have a number as type and a Uint8Array as value in each, not ${describe({ type, value: bytes })}`;
    }
    if (!(Number.isInteger(type) && type >= 0 && type <= 255)) {
      return { outOfRange: `must have types from 0 to 255, not ${describe(type)}` };
    }
  }
  return undefined;
};

const checks: Checks = {
  version: oneOf(1, 2),
  command: oneOf('proxy', 'local'),
  source: address,
  destination: address,
  alpn: latin1,
  authority: utf8,
  uniqueId,
  ssl: object({
    tls: flag,
    certOnConnection: flag,
    certInSession: flag,
    verified: flag,
    version: latin1,
    cn: utf8,
    cipher: latin1,
    sigAlg: latin1,
    keyAlg: latin1,
    group: latin1,
    sigScheme: latin1,
    clientCert: someBytes,
  }),
  netns: latin1,
  tlvs,
  checksum: flag,
};

/** The options of {@link encodeProxyHeader}, for a function that passes them on. */
export const proxyHeaderOptions = object(checks);

const NO_TLS = { tls: false, certOnConnection: false, certInSession: false, verified: false };

const WHAT = 'encode the PROXY header';

/**
 * Encodes a header of the PROXY protocol, which tells a server the address of the client. It is sent once, before the first byte
 * of the client, in one write. The option `proxy` of `connect` does that.
 *
 * If one address is of IPv4 and the other one of IPv6, both are sent as IPv6; a zone is left out. Addresses that are unknown, as
 * those of a client that has already gone, are sent as UNSPEC, in version 1 as UNKNOWN. A path of a unix socket and an address that
 * is unknown are the two ends of a unix socket, because a client seldom has a path; version 1 sends those as UNKNOWN, too.
 *
 * HAProxy as the receiver resets a connection whose header is of version 2 and has neither an IP address nor `command: 'local'`,
 * although the specification allows it. HAProxy itself sends `'local'` for a client of a unix socket.
 *
 * The format is that of HAProxy's specification, `doc/proxy-protocol.txt` of its repository, sections 2.1 and 2.2.
 *
 * @example
 * ```ts
 * const source = { address: '192.0.2.1', port: 50_000 };
 * const destination = { address: '192.0.2.2', port: 8000 };
 * console.log(encodeProxyHeader({ version: 1, source, destination }).toString().trim());
 * // → PROXY TCP4 192.0.2.1 192.0.2.2 50000 8000
 * ```
 *
 * @param options See {@link ProxyHeaderOptions}.
 * @returns The bytes of the header.
 * @throws TypeError for an option that does not exist or is of the wrong type, for an address with a port that is no IP address, for
 * TLS that is verified without a certificate, and for what version 1 does not have.
 * @throws RangeError for a port or a type out of its range, a path of more than 108 bytes, a unique id of more than 128 bytes, and
 * a header of more than 16384 bytes.
 */
export function encodeProxyHeader(options: ProxyHeaderOptions): Buffer {
  const { version = 2, command = 'proxy', source, destination, ...rest } = check(WHAT, options, checks);
  const { checksum = false, tlvs = [], ssl, ...others } = rest;
  const named = ssl === undefined ? others : { ...others, ssl: { ...NO_TLS, ...ssl } };
  if (version === 1) {
    const absent = Object.keys(named)[0];
    const what = command === 'local' ? "command 'local'" : checksum ? 'checksum' : tlvs.length > 0 ? 'tlvs' : absent;
    if (what !== undefined) throw new TypeError(`Cannot ${WHAT}: version 1 has no ${what}`);
    return Buffer.from(lineOf(source, destination), 'latin1');
  }
  if (ssl?.verified && !(ssl.tls && (ssl.certOnConnection || ssl.certInSession))) {
    throw new TypeError(`Cannot ${WHAT}: ssl.verified must be false without TLS and a certificate`);
  }
  const fields = writeFields(NAMED, named);
  const own = new Set([CRC32C, ...fields.map(({ type }) => type)]);
  const all = [...fields, ...tlvs.filter(({ type }) => !own.has(type))];
  const [family, block] = command === 'local' ? NO_ADDRESSES : addressesOf(source, destination);
  const size = all.reduce((sum, { value }) => sum + TLV_FIXED + value.length, FIXED + block.length);
  const length = size + (checksum ? TLV_FIXED + CRC32C_BYTES : 0);
  if (length > MAX_HEADER_BYTES) {
    throw new RangeError(`Cannot ${WHAT}: it has ${length} bytes, at most ${MAX_HEADER_BYTES} allowed`);
  }
  const after = length - FIXED;
  const fixed = Uint8Array.of(command === 'local' ? LOCAL : PROXY, family, after >> 8, after & 0xff);
  const header = Buffer.concat([SIGNATURE, fixed, block, ...all.map(encodeTlv)], length);
  if (checksum) {
    // The last field, because a damaged address family changes where the fields begin. Only at the end the checksum cannot become
    // a part of the addresses, and then be missed.
    header.set([CRC32C, 0, CRC32C_BYTES], size);
    header.writeUInt32BE(crc32c(header), length - CRC32C_BYTES);
  }
  return header;
}

type Block = readonly [family: number, block: Uint8Array];

const NO_ADDRESSES: Block = [UNSPEC, new Uint8Array(0)];

function addressesOf(source: Address | undefined, destination: Address | undefined): Block {
  const [from, to] = [bytesOf(source), bytesOf(destination)];
  if (from && to) {
    const [from4, to4] = [asIPv4(from), asIPv4(to)];
    const ports = Buffer.alloc(4);
    ports.writeUInt16BE(source?.port ?? 0, 0);
    ports.writeUInt16BE(destination?.port ?? 0, 2);
    if (from4 && to4) return [TCP4, Buffer.concat([from4, to4, ports])];
    return [TCP6, Buffer.concat([asIPv6(from), asIPv6(to), ports])];
  }
  // Of a unix socket at least one end has a path.
  const paths = from || to ? [] : [source?.address, destination?.address];
  if (paths.every((path) => path === undefined)) return NO_ADDRESSES;
  const block = Buffer.alloc(2 * PATH_BYTES);
  block.write(paths[0] ?? '', 0);
  block.write(paths[1] ?? '', PATH_BYTES);
  return [UNIX_STREAM, block];
}

function lineOf(source: Address | undefined, destination: Address | undefined): string {
  const [from, to] = [bytesOf(source), bytesOf(destination)];
  if (!from || !to) return 'PROXY UNKNOWN\r\n';
  const [from4, to4] = [asIPv4(from), asIPv4(to)];
  const [protocol, first, second] = from4 && to4 ? ['TCP4', from4, to4] : ['TCP6', asIPv6(from), asIPv6(to)];
  const ports = `${source?.port ?? 0} ${destination?.port ?? 0}`;
  return `PROXY ${protocol} ${ipOfBytes(first)} ${ipOfBytes(second)} ${ports}\r\n`;
}

const bytesOf = (end: Address | undefined): Uint8Array | undefined => bytesOfIp(end?.address ?? '');
