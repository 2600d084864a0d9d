/** An IPv4 address that is mapped into IPv6, as a socket for both families shows it. */
const MAPPED = /^::ffff:(?=\d+\.[\d.]+$)/i;

/** The plain IPv4 form of an address that is mapped into IPv6, such as `192.0.2.1` for `::ffff:192.0.2.1`; any other one as it is. */
export function plainAddress<T extends string | undefined>(address: T): T {
  // Most addresses are decided by their first characters.
  return address?.startsWith('::') ? (address.replace(MAPPED, '') as T) : address;
}
