import { BlockList, isIPv4 } from 'node:net';
import { type Check, checkArgument, describe, type Violation } from '../options.ts';
import type { Address } from '../transport/transport.ts';
import { asIPv4, bytesOfIp, ipOfBytes } from './ip.ts';

/** The word for the peers of a unix socket. */
const UNIX = 'unix';

/** The bits in front of an IPv4 address that is mapped into IPv6. */
const MAPPED_BITS = 96;

interface Network {
  readonly family: 'ipv4' | 'ipv6';
  readonly address: string;
  /** The bits that all addresses of the network have in common. */
  readonly bits: number;
}

/** Reads `10.0.0.0/8`, or an address, which is a network of one. An IPv4 network that is mapped into IPv6 is an IPv4 network. */
function networkOf(text: string): Network | Violation {
  const [address = '', prefix, more] = text.split('/');
  const bytes = address.includes('%') ? undefined : bytesOfIp(address);
  if (!bytes || more !== undefined)
    return `must have IP addresses, networks such as 10.0.0.0/8, or 'unix', not ${describe(text)}`;
  const most = 8 * bytes.length;
  const bits = prefix === undefined ? most : /^(?:0|[1-9]\d{0,2})$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(bits <= most)) {
    return {
      outOfRange: `must have a length from 0 to ${most} after the slash of ${address}, not ${describe(prefix)}`,
    };
  }
  const mapped = asIPv4(bytes);
  const isMapped = mapped !== undefined && bytes !== mapped && bits >= MAPPED_BITS;
  if (isMapped) return { family: 'ipv4', address: ipOfBytes(mapped), bits: bits - MAPPED_BITS };
  return { family: mapped === bytes ? 'ipv4' : 'ipv6', address, bits };
}

const listOf =
  (least: number, what: string): Check =>
  (value) => {
    if (!Array.isArray(value) || value.length < least) return `must be ${what} 'unix', not ${describe(value)}`;
    for (const item of value) {
      if (typeof item !== 'string') return `must have strings only, not ${describe(item)}`;
      const network = item === UNIX ? undefined : networkOf(item);
      if (network !== undefined && !isNetwork(network)) return network;
    }
    return undefined;
  };

/** A list of IP addresses, networks and the word `unix`, which is not empty, because that would trust no peer. */
export const networks: Check = listOf(1, 'a list of at least one IP address, network such as 10.0.0.0/8, or');

/** The same, or an empty list. */
export const networkList: Check = listOf(0, 'a list of IP addresses, networks such as 10.0.0.0/8, and');

const isNetwork = (network: Network | Violation): network is Network =>
  typeof network === 'object' && 'family' in network;

/**
 * Makes the test whether a peer may send a header of the PROXY protocol. A server must accept the header only from proxies that it
 * knows, because any other client could claim any address with it (section 2 and section 5 of the specification).
 *
 * An IPv4 address and the same one mapped into IPv6 are the same peer. `::/0` is every IPv6 address, and no IPv4 address. A zone is
 * ignored. An address without a port is that of a unix socket, or of a peer that had reset the connection before its address could
 * be looked up: it matches only `unix`. Therefore do not trust `unix` at a TCP port.
 *
 * @param trusted IP addresses, networks such as `10.0.0.0/8` and `2001:db8::/32`, and `unix` for the peers of a unix socket.
 * @returns Whether the peer with an address is trusted. It does not throw: an address that cannot be is not trusted.
 * @throws TypeError for a list that is empty, and for what is no address, such as a host name.
 * @throws RangeError for a network that has more bits than an address.
 */
export function trustedBy(trusted: readonly string[]): (peer: Address) => boolean {
  checkArgument('trust peers', 'networks', trusted, networks);
  return onList(trusted);
}

/** Makes the test whether a peer is on a list that has been checked, as {@link trustedBy} explains. */
export function onList(trusted: readonly string[]): (peer: Address) => boolean {
  const trustsUnix = trusted.includes(UNIX);
  // One list for each family: otherwise Node would find an IPv4 address in `::/0`.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const item of trusted) {
    const network = networkOf(item);
    if (isNetwork(network)) lists[network.family].addSubnet(network.address, network.bits, network.family);
  }
  return ({ address, port }) => {
    if (port === undefined) return trustsUnix;
    if (address === undefined) return false;
    if (isIPv4(address)) return lists.ipv4.check(address, 'ipv4');
    const bytes = bytesOfIp(address);
    if (!bytes) return false;
    const mapped = asIPv4(bytes);
    return mapped ? lists.ipv4.check(ipOfBytes(mapped), 'ipv4') : lists.ipv6.check(ipOfBytes(bytes), 'ipv6');
  };
}
