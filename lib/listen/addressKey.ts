import { asIPv4, bytesOfIp } from '../proxyProtocol/ip.ts';
import type { Address } from '../transport/transport.ts';

/** How many bits of an address make a peer. */
export interface Prefix {
  readonly 4: number;
  readonly 6: number;
}

/**
 * A /64 is what one subscriber of IPv6 has at least: section 3.1 of RFC 6177, and RFC 4291 gives each network interface that many
 * addresses.
 */
export const PREFIX: Prefix = { 4: 32, 6: 64 };

/**
 * Makes the function that names the peer of an address: the addresses with the same first bits are one peer. An IPv4 address that
 * is mapped into IPv6 counts as IPv4. `undefined` for the peer of a unix socket, and for one that closed the connection before its
 * address could be looked up.
 */
export function addressKeys(prefix: Prefix): (peer: Address) => string | undefined {
  return ({ address, port }) => {
    if (address === undefined || port === undefined) return undefined;
    // The usual case, in which the address is its own name.
    if (prefix[4] === 32 && !address.includes(':')) return address;
    const bytes = bytesOfIp(address);
    if (bytes === undefined) return address;
    const plain = asIPv4(bytes) ?? bytes;
    return plain.length === 4 ? firstBits(plain, prefix[4]) : `${firstBits(plain, prefix[6])}:`;
  };
}

/** The first bits, as text. Whole bytes are written as numbers. */
function firstBits(bytes: Uint8Array, bits: number): string {
  const whole = bits >> 3;
  const text = bytes.subarray(0, whole).join('.');
  const rest = bits & 7;
  return rest === 0 ? text : `${text}.${(bytes[whole] ?? 0) >> (8 - rest)}`;
}
