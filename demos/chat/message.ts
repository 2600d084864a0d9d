import { harmless, isName, isRoom } from './text.ts';

/** A user on one of the servers. */
export interface Person {
  /** Unique on the server. */
  readonly id: number;
  readonly name: string;
  /** When the user took the name, in milliseconds since 1970. */
  readonly since: number;
  readonly room?: string | undefined;
}

/** A message from one server to all other servers. Each run of the program is a server of its own. */
export type Message =
  /** The present state of some or all of its users. */
  | { readonly server: string; readonly there: readonly Person[] }
  /** One of its users has left. */
  | { readonly server: string; readonly gone: number }
  /** One of its users has sent a line to a room. */
  | { readonly server: string; readonly name: string; readonly room: string; readonly text: string };

/**
 * Parses and validates a message from the bus. Validated completely, because any client of the NATS server may publish there.
 *
 * @throws SyntaxError if it is not JSON, TypeError if it is not a message.
 */
export function readMessage(json: string): Message {
  const it = JSON.parse(json);
  if (isSafe(it?.server) && isValid(it)) return it;
  throw new TypeError(`Cannot read a message: ${json.slice(0, 100)} is not one`);
}

function isValid(it: Record<string, unknown>): boolean {
  if ('text' in it) return isName(it.name) && isRoom(it.room) && isSafe(it.text);
  return 'gone' in it ? isWhole(it.gone) : Array.isArray(it.there) && it.there.every(isPerson);
}

const isSafe = (text: unknown) => typeof text === 'string' && harmless(text) === text;
const isWhole = (value: unknown) => Number.isSafeInteger(value);
const isPerson = (it: Person | null) =>
  isName(it?.name) && isWhole(it.id) && isWhole(it.since) && (it.room === undefined || isRoom(it.room));
