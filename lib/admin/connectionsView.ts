import { BlockList, isIP } from 'node:net';
import { plainAddress } from '../address.ts';
import type { ConnectionRow } from '../table.ts';
import type { Address } from '../transport/transport.ts';

/** A connection in JSON: its figures, and of its proxy the address alone. */
export interface JsonRow extends Omit<ConnectionRow, 'via'> {
  /** The address of the proxy, if a PROXY header came first. */
  readonly via: Address | undefined;
}

/** All connections of one address. */
export interface AddressRow {
  /** The address, or an empty text for those that have none. */
  readonly address: string;
  /** How many connections it has. */
  readonly connections: number;
  /** Bytes received on these. */
  readonly bytesIn: number;
  /** Bytes sent on these. */
  readonly bytesOut: number;
  /** Bytes that were written on these and have not been sent yet. */
  readonly unsent: number;
}

/** In which order connections are listed. */
export type Sorting = keyof typeof comparers;

/** Which connections are listed. */
export interface Query {
  /** See {@link matching}. Empty for all. */
  readonly search: string;
  readonly sort: Sorting;
  /** How many at most. */
  readonly first: number;
}

/** A part of the table of connections. */
export interface ConnectionsView {
  /** How many connections there are. */
  readonly total: number;
  /** How many of them the query finds. */
  readonly matching: number;
  /** Whether the query names them exactly, so that an action may be for all that it finds. */
  readonly isExact: boolean;
  /** The first of those. */
  readonly rows: readonly JsonRow[];
  /** How many addresses there are. */
  readonly distinct: number;
  /** The addresses with most connections, most first. */
  readonly addresses: readonly AddressRow[];
}

/** How many addresses are listed. */
const ADDRESSES = 10;

type Compare = (a: ConnectionRow, b: ConnectionRow) => number;
const comparers = {
  oldest: undefined,
  newest: (a, b) => b.id - a.id,
  busiest: (a, b) => b.bytesIn + b.bytesOut - a.bytesIn - a.bytesOut,
  unsent: (a, b) => b.unsent - a.unsent,
  idle: (a, b) => b.idle - a.idle,
} as const satisfies Record<string, Compare | undefined>;

export const sortings = Object.keys(comparers) as readonly Sorting[];

/** The connections that a query finds, in its order. @param rows All rows, in the order in which the connections were opened. */
export function foundBy(rows: readonly ConnectionRow[], { search, sort }: Omit<Query, 'first'>): ConnectionRow[] {
  const found = search === '' ? [...rows] : rows.filter(matching(search));
  const compare = comparers[sort];
  if (compare) found.sort(compare);
  return found;
}

/** @param rows All rows, in the order in which the connections were opened. */
export function viewOf(rows: readonly ConnectionRow[], addresses: Addresses, query: Query): ConnectionsView {
  const { search, first } = query;
  const found = foundBy(rows, query);
  return {
    total: rows.length,
    matching: found.length,
    isExact: exactly(search) !== undefined,
    rows: found.slice(0, first).map(jsonRow),
    ...addresses,
  };
}

type Addresses = Pick<ConnectionsView, 'distinct' | 'addresses'>;

/** Counts the connections of each address. */
export function addressesOf(rows: readonly ConnectionRow[], most = ADDRESSES): Addresses {
  const all = new Map<string, { -readonly [K in keyof AddressRow]: AddressRow[K] }>();
  for (const { peer, bytesIn, bytesOut, unsent } of rows) {
    const address = addressOf(peer);
    const known = all.get(address);
    if (known === undefined) {
      all.set(address, { address, connections: 1, bytesIn, bytesOut, unsent });
      continue;
    }
    known.connections++;
    known.bytesIn += bytesIn;
    known.bytesOut += bytesOut;
    known.unsent += unsent;
  }
  const addresses = [...all.values()].sort((a, b) => b.connections - a.connections).slice(0, most);
  return { distinct: all.size, addresses };
}

type Searched = Pick<ConnectionRow, 'id' | 'peer' | 'via'>;

/**
 * Searches for connections.
 *
 * @param search What {@link exactly} knows; any other text is a part of the address, with its port, of the peer or of its proxy.
 * @returns A predicate: whether a connection is one that is searched for.
 */
export function matching(search: string): (row: Searched) => boolean {
  const wanted = search.trim().toLowerCase();
  return exactly(search) ?? ofEither((end) => shown(end).includes(wanted));
}

/**
 * Searches for connections whose number is `#17`; or whose peer or proxy has that address, such as `10.0.0.1`, `10.0.0.1:5000`,
 * `2001:db8::7` or `[2001:db8::7]:5000`, or an address of that network, such as `10.0.0.0/8`.
 *
 * @returns A predicate, or `undefined` for any other text.
 */
export function exactly(search: string): ((row: Searched) => boolean) | undefined {
  const wanted = search.trim().toLowerCase();
  if (/^#\d+$/.test(wanted)) return ({ id }) => `#${id}` === wanted;
  const [, bracketed, plain = '', port, prefix] =
    /^(?:\[([\da-f:.]+)\]|([\d.]+|[\da-f:.]+))(?::(\d{1,5})|\/(\d{1,3}))?$/.exec(wanted) ?? [];
  const address = plainAddress(bracketed ?? plain);
  const version = isIP(address);
  if (version === 0 || (bracketed !== undefined && version !== 6)) return undefined;
  const most = version === 6 ? 128 : 32;
  const bits = Number(prefix ?? most);
  if (bits > most) return undefined;
  const network = new BlockList();
  const family = version === 6 ? 'ipv6' : 'ipv4';
  network.addSubnet(address, bits, family);
  return ofEither((end) => {
    const [own = ''] = addressOf(end).split('%');
    if (port !== undefined && end.port !== Number(port)) return false;
    // `check` takes an address of that family: what it does with another one depends on the release of Node.
    return isIP(own) === version && network.check(own, family);
  });
}

/** Whether it holds for the peer or for its proxy. */
const ofEither =
  (holds: (end: Address) => boolean) =>
  ({ peer, via }: Searched): boolean =>
    holds(peer) || (via !== undefined && holds(via));

/** The plain address of a peer; an empty text if it has none. */
export const addressOf = ({ address }: Address): string => plainAddress(address) ?? '';

function shown({ address, port }: Address): string {
  const plain = plainAddress(address) ?? '';
  return (port === undefined ? plain : plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`).toLowerCase();
}

/** Headers of proxies stay out: they have bytes, certificates, and any text of any length. */
export function jsonRow({ via, ...row }: ConnectionRow): JsonRow {
  return { ...row, via: via === undefined ? undefined : { address: via.address, port: via.port } };
}
