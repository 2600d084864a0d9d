import type { BehaviorSubject, Observable } from 'rxjs';
import {
  type Check,
  type Checks,
  check,
  describe,
  milliseconds,
  oneOf,
  type PerAddressLimit,
  whole,
} from '../options.ts';
import type { ConnectionRow, ConnectionTable, Rehearsal } from '../table.ts';
import { addressOf, exactly } from './connectionsView.ts';
import { type AdminLimits, type LimitKind, type LimitName, limitKinds } from './options.ts';
import { checking, invalid, RequestError } from './requestError.ts';

/** Numbers of connections in one request, at most. */
const MOST = 1000;
/** Characters of a search or a reason, at most. */
export const LONGEST = 200;

/** Which connections an action is for: exactly one of `ids`, `address`, `search` and `all`. */
export interface Selection {
  readonly ids?: readonly number[];
  readonly address?: string;
  readonly search?: string;
  readonly all?: true;
  /** How many of them are spared: those that are open for longest. */
  readonly keep?: number;
}

const shortText: Check = (value) =>
  typeof value === 'string' && value.trim() !== '' && value.length <= LONGEST
    ? undefined
    : `must be a text of 1 to ${LONGEST} characters, not ${describe(value)}`;

/** The empty text is the address of all peers of a unix socket. */
const anyAddress: Check = (value) => (value === '' ? undefined : shortText(value));

const ids: Check = (value) =>
  Array.isArray(value) && value.length > 0 && value.length <= MOST && value.every((id) => Number.isSafeInteger(id))
    ? undefined
    : `must be an array of 1 to ${MOST} whole numbers, not ${describe(value)}`;

const selectionChecks: Checks = {
  ids,
  address: anyAddress,
  search: shortText,
  all: oneOf(true),
  keep: whole(0),
  reason: shortText,
};
const SELECTIONS = ['ids', 'address', 'search', 'all'] as const;

/** What was done, and to which connections. */
export interface Closing extends Selection {
  /** How many connections it hit. */
  readonly connections: number;
  /** The `detail` of their `closed` events. */
  readonly reason: string;
}

/**
 * Drains or aborts some connections.
 *
 * @param body A {@link Selection} as JSON, and `reason`.
 * @throws RequestError if it is not.
 */
export function closeSome(table: ConnectionTable, action: 'drain' | 'abort', body: unknown): Closing {
  const what = `${action} connections`;
  const selection = checking(() => check(what, body as Selection & { reason?: string }, selectionChecks, 'the body'));
  const given = SELECTIONS.filter((name) => name in selection);
  if (given.length !== 1) {
    throw invalid(`Cannot ${what}: the body must have exactly one of ${SELECTIONS.join(', ')}`);
  }
  const { reason = 'admin', ...by } = selection;
  const isSelected = selected(what, by);
  // A connection that is asked to finish already is none that is spared.
  const open = table.rows().filter((row) => isOpenFor(action, row) && isSelected(row));
  const chosen = new Set(open.slice(by.keep ?? 0).map(({ id }) => id));
  return { ...by, connections: table[action](({ id }) => chosen.has(id), reason), reason };
}

function isOpenFor(action: 'drain' | 'abort', { state }: ConnectionRow): boolean {
  return action === 'drain' ? state === 'open' : state !== 'closing';
}

function selected(what: string, { ids, address, search }: Selection): (row: ConnectionRow) => boolean {
  if (ids !== undefined) {
    const wanted = new Set(ids);
    return ({ id }) => wanted.has(id);
  }
  if (address !== undefined) return ({ peer }) => addressOf(peer) === address;
  if (search === undefined) return () => true;
  const isFound = exactly(search);
  // A part of an address is for looking: `10.0.0.1` is a part of `10.0.0.12` as well.
  if (isFound === undefined) {
    throw invalid(
      `Cannot ${what}: search must be an address, with or without its port, a network such as 10.0.0.0/8, or # and a number, not ${describe(search)}. GET /connections?search=… finds other texts: send the ids of what it finds`,
    );
  }
  return isFound;
}

/** A limit as JSON has it. */
export interface LimitRow {
  readonly name: LimitName;
  /** JSON has no Infinity. */
  readonly value: PerAddressLimit | 'Infinity';
  readonly unit: LimitKind['unit'];
}

/** The limits that can be moved, with their current values. One whose subject has failed is absent. */
export function limitRows(limits: AdminLimits): LimitRow[] {
  return (Object.keys(limitKinds) as LimitName[]).flatMap((name) => {
    const value = currentOf(limits[name]);
    return value === undefined ? [] : [{ name, value: inJson(value), unit: limitKinds[name].unit }];
  });
}

/** A limit that was moved. */
export interface Moved {
  readonly name: LimitName;
  readonly was: PerAddressLimit;
  readonly value: PerAddressLimit;
}

/**
 * Moves a limit.
 *
 * @param body `{ name, value }` as JSON; the value may be the text `Infinity`.
 * @throws RequestError for a limit that does not exist, or a value that `serve` would refuse.
 */
export function moveLimit(limits: AdminLimits, body: unknown): Moved {
  const what = 'move a limit';
  const movable = limitRows(limits).map(({ name }) => name);
  if (movable.length === 0) throw new RequestError(404, 'missing', 'No limit can be moved: the option limits has none');
  const any: Check = () => undefined;
  const checks = { name: oneOf(...movable), value: any };
  const given = checking(() => check(what, body as { name: LimitName; value: unknown }, checks, 'the body'));
  const { name } = given;
  if (name === undefined) throw invalid(`Cannot ${what}: name must be given`);
  const value = given.value === 'Infinity' ? Number.POSITIVE_INFINITY : given.value;
  const allowed = { value: limitKinds[name].allowed };
  const { value: moved } = checking(() => check(what, { value } as { value: PerAddressLimit }, allowed));
  if (moved === undefined) throw invalid(`Cannot ${what}: value must be given`);
  const subject = limits[name] as BehaviorSubject<PerAddressLimit>;
  const was = subject.getValue();
  subject.next(moved);
  return { name, was, value: moved };
}

/** `Infinity` is a text in JSON. */
export const inJson = (value: PerAddressLimit): PerAddressLimit | 'Infinity' =>
  value === Number.POSITIVE_INFINITY ? 'Infinity' : value;

/** Says what a drain would do, with the settings in a query. @throws RequestError for settings that cannot be. */
export function rehearseWith(table: ConnectionTable, query: URLSearchParams): Rehearsal {
  const settings = Object.fromEntries([...query].map(([name, value]) => [name, value === '' ? value : Number(value)]));
  const allowed = { announce: milliseconds, grace: milliseconds, spread: milliseconds };
  return checking(() => table.rehearse(check('rehearse a drain', settings, allowed, 'the query')));
}

function currentOf(subject: AdminLimits[LimitName]): PerAddressLimit | undefined {
  let value: PerAddressLimit | undefined;
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  // One that has completed still takes values, but has no subscriber. It says so, or that it has failed, when it is subscribed to.
  const current = subject as Observable<PerAddressLimit> | undefined;
  const subscription = current?.subscribe({
    next: (one) => {
      value = one;
    },
    error: over,
    complete: over,
  });
  subscription?.unsubscribe();
  return isOver ? undefined : value;
}
