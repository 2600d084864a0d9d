import { harmless, isName, isRoom } from './text.ts';

/** Somebody on one of the servers. */
export interface Person {
  /** Unique on the server. */
  readonly id: number;
  readonly name: string;
  /** Since when the name is theirs, in milliseconds since 1970. */
  readonly since: number;
  readonly room?: string | undefined;
}

/** What a server tells the others. No two runs of the program are the same server. */
export type Message =
  /** These of its people are there, and like this. */
  | { readonly server: string; readonly there: readonly Person[] }
  /** One of them is gone. */
  | { readonly server: string; readonly gone: number }
  /** One of them has said something. */
  | { readonly server: string; readonly name: string; readonly room: string; readonly text: string };

/**
 * Reads what came over the wire. Anybody may publish there: what is no message of ours is none.
 *
 * @throws SyntaxError if it is no JSON, TypeError if it is no message.
 */
export function readMessage(json: string): Message {
  const it = JSON.parse(json);
  if (isSafe(it?.server) && isWell(it)) return it;
  throw new TypeError(`Cannot read a message: ${json.slice(0, 100)} is none`);
}

function isWell(it: Record<string, unknown>): boolean {
  if ('text' in it) return isName(it.name) && isRoom(it.room) && isSafe(it.text);
  return 'gone' in it ? isWhole(it.gone) : Array.isArray(it.there) && it.there.every(isPerson);
}

const isSafe = (text: unknown) => typeof text === 'string' && harmless(text) === text;
const isWhole = (value: unknown) => Number.isSafeInteger(value);
const isPerson = (it: Person | null) =>
  isName(it?.name) && isWhole(it.id) && isWhole(it.since) && (it.room === undefined || isRoom(it.room));
