import { ProxyHeaderError } from '../errors.ts';
import type { Address } from '../transport/transport.ts';
import { crc32c } from './crc32c.ts';
import { decodeLine } from './decodeLine.ts';
import type { Decoded, ProxyHeader } from './header.ts';
import { ipOfBytes } from './ip.ts';
import { NAMED, readFields, type Span, spansOf, tlvsOf } from './tlvs.ts';
import {
  ADDRESS_BYTES,
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
  UNIX_STREAM,
  WORD,
} from './wire.ts';

/**
 * Decodes a header of the PROXY protocol, of version 1 or 2, at the beginning of a connection.
 *
 * It is stateless: as long as the answer is `'more'`, it is called again with all bytes from the first one on, once there are
 * `needs`. The length of version 2 is known from the first 16 bytes; a line of version 1 has 107 bytes at most. Therefore a peer
 * that sends single bytes costs a constant amount of work for each.
 *
 * The header is absent if the bytes differ from both signatures; the first byte that differs decides. It is refused as soon as a
 * byte makes it impossible, even if it is incomplete.
 *
 * @param bytes The first bytes of the connection. The header has copies of them.
 * @returns The header with its length in bytes, how many bytes it needs, or that it is absent.
 * @throws ProxyHeaderError for a header that does not follow the specification, whose checksum is wrong, or that is longer than
 * 16384 bytes.
 */
export function decodeProxyHeader(bytes: Uint8Array): Decoded {
  const isBinary = bytes[0] === SIGNATURE[0];
  const signature = isBinary ? SIGNATURE : WORD;
  const compared = Math.min(bytes.length, signature.length);
  for (let i = 0; i < compared; i++) if (bytes[i] !== signature[i]) return { kind: 'absent' };
  return isBinary ? decodeBinary(bytes) : decodeLine(bytes);
}

/** Section 2.2. The signature has been compared. */
function decodeBinary(received: Uint8Array): Decoded {
  const command = received[SIGNATURE.length];
  const family = received[SIGNATURE.length + 1];
  if (command !== undefined && command !== PROXY && command !== LOCAL) {
    const isVersion2 = command >> 4 === 2;
    throw new ProxyHeaderError(
      isVersion2
        ? `command ${command & 0xf} is unknown`
        : `version ${command >> 4} is not supported in a binary header`,
    );
  }
  // The family of LOCAL is ignored, whatever it is.
  if (family !== undefined && command === PROXY && !ADDRESS_BYTES.has(family)) {
    // A family without a transport, and a transport without a family, may be refused: where its addresses end is not specified.
    throw new ProxyHeaderError(`address family ${family >> 4} with transport ${family & 0xf} is not specified`);
  }
  if (family === undefined || received.length < FIXED) return { kind: 'more', needs: FIXED };

  const bytes = Buffer.from(received.buffer, received.byteOffset, received.length);
  const length = FIXED + bytes.readUInt16BE(FIXED - 2);
  const addresses = FIXED + (ADDRESS_BYTES.get(family) ?? 0);
  if (length > MAX_HEADER_BYTES) {
    throw new ProxyHeaderError(`it has ${length} bytes, at most ${MAX_HEADER_BYTES} allowed`);
  }
  if (command === PROXY && length < addresses) {
    throw new ProxyHeaderError(`it has ${length} bytes, too few for its addresses, which end at ${addresses}`);
  }
  if (bytes.length < length) return { kind: 'more', needs: length };
  const whole = bytes.subarray(0, length);
  const header = command === PROXY ? proxyHeader(whole, family, addresses) : localHeader(whole, addresses);
  return { kind: 'header', header, length };
}

/** The header of a connection that is relayed for a client. */
function proxyHeader(bytes: Buffer, family: number, addresses: number): ProxyHeader {
  const spans = spansOf(bytes, addresses, bytes.length);
  if (!spans) throw new ProxyHeaderError('a field runs past its end');
  verifyChecksum(bytes, spans);
  const ends = addressesOf(bytes, family);
  return { version: 2, command: 'proxy', ...ends, ...readFields(NAMED, bytes, spans), tlvs: tlvsOf(bytes, spans) };
}

/**
 * The header of a connection of the proxy itself. A receiver must accept it, whatever follows the command, except if a checksum
 * says that the header is damaged: then the command itself may be another one than the proxy has sent.
 */
function localHeader(bytes: Buffer, addresses: number): ProxyHeader {
  const spans = spansOf(bytes, Math.min(addresses, bytes.length), bytes.length) ?? [];
  verifyChecksum(bytes, spans);
  const none = { version: 2, command: 'local', source: undefined, destination: undefined } as const;
  try {
    return { ...none, ...readFields(NAMED, bytes, spans), tlvs: tlvsOf(bytes, spans) };
  } catch {
    return { ...none, tlvs: [] };
  }
}

const ZEROS = new Uint8Array(CRC32C_BYTES);

/** Section 2.2.3: the checksum is that of the whole header, with zeros in its own place. */
function verifyChecksum(bytes: Buffer, spans: readonly Span[]): void {
  const [span, other] = spans.filter(({ type }) => type === CRC32C);
  if (span === undefined) return;
  if (other !== undefined) throw new ProxyHeaderError('it has two checksums');
  const { from, to } = span;
  if (to - from !== CRC32C_BYTES)
    throw new ProxyHeaderError(`its checksum has ${to - from} bytes, not ${CRC32C_BYTES}`);
  const before = crc32c(ZEROS, crc32c(bytes.subarray(0, from)));
  if (crc32c(bytes.subarray(to), before) !== bytes.readUInt32BE(from))
    throw new ProxyHeaderError('its checksum is wrong');
}

type Ends = Pick<ProxyHeader, 'source' | 'destination'>;

/**
 * The addresses of a header that is long enough for them. A datagram has none: its header comes in the same datagram (section 2),
 * so a receiver of TCP does not support it, and must treat it as UNSPEC (section 2.2).
 */
function addressesOf(bytes: Buffer, family: number): Ends {
  switch (family) {
    case TCP4:
      return ipEnds(bytes, 4);
    case TCP6:
      return ipEnds(bytes, 16);
    case UNIX_STREAM:
      return { source: unixEnd(bytes, FIXED), destination: unixEnd(bytes, FIXED + PATH_BYTES) };
    default:
      return { source: undefined, destination: undefined };
  }
}

function ipEnds(bytes: Buffer, size: number): Ends {
  const [to, ports] = [FIXED + size, FIXED + 2 * size];
  return {
    source: { address: ipOfBytes(bytes.subarray(FIXED, to)), port: bytes.readUInt16BE(ports) },
    destination: { address: ipOfBytes(bytes.subarray(to, ports)), port: bytes.readUInt16BE(ports + 2) },
  };
}

/** A path ends at its first NUL. An abstract name begins with one; the NULs behind it are padding. */
function unixEnd(bytes: Buffer, at: number): Address {
  const field = bytes.subarray(at, at + PATH_BYTES);
  let length = field.indexOf(0);
  if (length === 0) for (length = PATH_BYTES; length > 0 && field[length - 1] === 0; ) length--;
  const path = length === -1 ? field : field.subarray(0, length);
  return { address: path.length === 0 ? undefined : path.toString('utf8'), port: undefined };
}
