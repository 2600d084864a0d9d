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
  /** A part of an address with its port, or `#` and a number. Empty for all. */
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

/** @param rows All rows, in the order in which the connections were opened. */
export function viewOf(rows: readonly ConnectionRow[], addresses: Addresses, query: Query): ConnectionsView {
  const { search, sort, first } = query;
  const found = search === '' ? [...rows] : rows.filter(matching(search));
  const compare = comparers[sort];
  if (compare) found.sort(compare);
  return {
    total: rows.length,
    matching: found.length,
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

/** @returns A predicate: whether a connection is one that is searched for. */
export function matching(search: string): (row: Pick<ConnectionRow, 'id' | 'peer' | 'via'>) => boolean {
  const wanted = search.trim().toLowerCase();
  if (/^#\d+$/.test(wanted)) return ({ id }) => `#${id}` === wanted;
  return ({ peer, via }) => shown(peer).includes(wanted) || (via !== undefined && shown(via).includes(wanted));
}

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
