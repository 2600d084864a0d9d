/** The numbers of the PROXY protocol, for the decoder and the encoder. */

/** The first bytes of a header of version 1. */
export const WORD = Uint8Array.of(0x50, 0x52, 0x4f, 0x58, 0x59);

/** The first bytes of a header of version 2. No text protocol begins with them. */
export const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);

/** The bytes of version 2 before the addresses: the signature, version and command, the family, and the length of the rest. */
export const FIXED = 16;

/** The longest line of version 1, with its CRLF (section 2.1). */
export const LONGEST_LINE = 107;

/** The shortest line of version 1, with its CRLF: `PROXY UNKNOWN`. */
export const SHORTEST_LINE = 15;

/**
 * The longest header of version 2 that is read or written, in bytes. The format could have 65551. HAProxy neither reads nor writes
 * more than fits into its buffer, which has this size by default. A client's certificate fits, and more would only let a proxy
 * that is broken occupy memory for connections that have not begun.
 */
export const MAX_HEADER_BYTES = 16 * 1024;

/** Version 2 with each command. */
export const LOCAL = 0x20;
export const PROXY = 0x21;

/** The address families, each with a transport. */
export const UNSPEC = 0x00;
export const TCP4 = 0x11;
export const UDP4 = 0x12;
export const TCP6 = 0x21;
export const UDP6 = 0x22;
export const UNIX_STREAM = 0x31;
export const UNIX_DATAGRAM = 0x32;

/** The bytes of the two addresses, and of the ports, of each family. */
export const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [UNSPEC, 0],
  [TCP4, 12],
  [UDP4, 12],
  [TCP6, 36],
  [UDP6, 36],
  [UNIX_STREAM, 216],
  [UNIX_DATAGRAM, 216],
]);

/** The bytes of the path of a unix socket. A shorter path is followed by NULs. */
export const PATH_BYTES = 108;

/** The type of the checksum, and the bytes of its value. */
export const CRC32C = 0x03;
export const CRC32C_BYTES = 4;

/** The bytes of a TLV before its value: the type, and the length of the value. */
export const TLV_FIXED = 3;
