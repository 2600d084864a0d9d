import { harmless, wrongWith } from './text.ts';

/** Somebody on one of the servers. */
export interface Person {
  /** Unique on the server. */
  readonly id: number;
  readonly name: string;
  /** Since when the name is theirs, in milliseconds since 1970. */
  readonly since: number;
  /** The room they are in, if any. */
  readonly room?: string;
}

/**
 * What servers tell each other. `server` is the one that tells, and no two runs of a program are the same server.
 *
 * Each server numbers the changes of its people. Who has missed one sees it by the number of the next change or beat, and
 * asks for the state.
 */
export type Message = { readonly server: string } & (
  | { readonly type: 'beat'; readonly version: number }
  /** Somebody came, took a name, or went to a room. */
  | { readonly type: 'change'; readonly version: number; readonly person: Person }
  | { readonly type: 'gone'; readonly version: number; readonly id: number }
  /** To tell the state, to one server or to all. */
  | { readonly type: 'ask'; readonly of?: string }
  /** All of a server's people, in parts that follow each other. */
  | {
      readonly type: 'state';
      readonly version: number;
      readonly part: number;
      readonly last: boolean;
      readonly people: readonly Person[];
    }
  | { readonly type: 'said'; readonly name: string; readonly room: string; readonly text: string }
  /** The server ends. */
  | { readonly type: 'bye' }
);

type Check = (value: unknown) => boolean;

const whole: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const some: Check = (value) => typeof value === 'string' && value.length > 0 && value.length <= 200;
const name: Check = (value) => typeof value === 'string' && wrongWith(value) === undefined;
const text: Check = (value) => typeof value === 'string' && harmless(value) === value;
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const object =
  (checks: Record<string, Check>): Check =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(checks).every(([key, check]) => check((value as Record<string, unknown>)[key]));

const person = object({ id: whole, name, since: whole, room: optional(name) });
const people: Check = (value) => Array.isArray(value) && value.every(person);
const flag: Check = (value) => typeof value === 'boolean';

const MESSAGES = {
  beat: object({ server: some, version: whole }),
  change: object({ server: some, version: whole, person }),
  gone: object({ server: some, version: whole, id: whole }),
  ask: object({ server: some, of: optional(some) }),
  state: object({ server: some, version: whole, part: whole, last: flag, people }),
  said: object({ server: some, name, room: name, text }),
  bye: object({ server: some }),
} satisfies Record<Message['type'], Check>;

/**
 * Reads what came over the wire. Anybody may publish there: what is no message of ours is none.
 *
 * @throws SyntaxError if it is no JSON, TypeError if it is no message.
 */
export function readMessage(json: string): Message {
  const value: unknown = JSON.parse(json);
  const type = object({ type: some })(value) ? (value as { type: string }).type : '';
  if (Object.hasOwn(MESSAGES, type) && MESSAGES[type as Message['type']](value)) return value as Message;
  throw new TypeError(`Cannot read a message: ${json.slice(0, 100)} is none`);
}
