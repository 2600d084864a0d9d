import { glob } from '../glob.ts';
import { toNumber } from '../numbers.ts';
import { Refusal, syntaxError } from '../refusal.ts';
import { array, type ByteString, bulk, bulks, flag, integer, OK, type Reply, simple } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { Deque } from '../store/deque.ts';
import { RandomSet } from '../store/randomSet.ts';
import type { Value } from '../store/store.ts';
import { ALL_KEYS, family, NO_KEYS, ONE_KEY, rest } from './command.ts';
import { expiryTime, type Unit } from './expiry.ts';

const NEVER = Number.POSITIVE_INFINITY;
const MAX_CURSOR = 2n ** 64n - 1n;

const count = (args: Args, test: (key: ByteString) => boolean): Reply =>
  integer(rest(args).reduce((total, key) => total + (test(key) ? 1 : 0), 0));

const del = (args: Args, { db }: Session): Reply => count(args, (key) => db.store.delete(key));
const exists = (args: Args, { db }: Session): Reply => count(args, (key) => db.store.find(key) !== undefined);

/** The options of EXPIRE, as a test of the old and the new time. A key without a time to live has the time `Infinity`. */
function conditions(args: Args): (old: number, time: number) => boolean {
  const words = rest(args, 3).map((word) => word.toUpperCase());
  for (const [index, word] of words.entries()) {
    if (!['NX', 'XX', 'GT', 'LT'].includes(word)) throw new Refusal(`ERR Unsupported option ${rest(args, 3)[index]}`);
  }
  const [nx, xx, gt, lt] = ['NX', 'XX', 'GT', 'LT'].map((word) => words.includes(word));
  if (nx && (xx || gt || lt)) {
    throw new Refusal('ERR NX and XX, GT or LT options at the same time are not compatible');
  }
  if (gt && lt) throw new Refusal('ERR GT and LT options at the same time are not compatible');
  return (old, time) => !((nx && old !== NEVER) || (xx && old === NEVER) || (gt && time <= old) || (lt && time >= old));
}

const expire =
  (name: string, unit: Unit) =>
  (args: Args, { db }: Session): Reply => {
    const [, key, text] = args;
    const allows = conditions(args);
    const time = expiryTime(text, unit, db.store.now, name);
    const entry = db.store.find(key);
    if (entry === undefined || !allows(entry.expiresAt, time)) return flag(false);
    db.expire(entry, time);
    return flag(true);
  };

const ttl =
  (perUnit: number) =>
  ([, key]: Args, { db }: Session): Reply => {
    const entry = db.store.find(key);
    if (entry === undefined) return integer(-2);
    if (entry.expiresAt === NEVER) return integer(-1);
    return integer(Math.floor((Math.max(0, entry.expiresAt - db.store.now) + perUnit / 2) / perUnit));
  };

function persist([, key]: Args, { db }: Session): Reply {
  const entry = db.store.find(key);
  if (entry === undefined || entry.expiresAt === NEVER) return flag(false);
  db.store.expireAt(entry, NEVER);
  return flag(true);
}

const typeName = (value: Value | undefined): string => {
  if (value === undefined) return 'none';
  if (typeof value === 'string') return 'string';
  if (value instanceof Deque) return 'list';
  return value instanceof RandomSet ? 'set' : 'hash';
};

const type = ([, key]: Args, { db }: Session): Reply => simple(typeName(db.store.find(key)?.value));

function keys([, pattern]: Args, { db }: Session): Reply {
  const matches = glob(pattern);
  return bulks([...db.store.keys()].filter(matches));
}

function scan(args: Args, { db }: Session): Reply {
  if (!/^\d{1,20}$/.test(args[1]) || BigInt(args[1]) > MAX_CURSOR) throw new Refusal('ERR invalid cursor');
  const cursor = Number(args[1]);
  let looked = 10;
  let matches = (_key: ByteString): boolean => true;
  let wanted: string | undefined;
  for (let index = 2; index < args.length; index += 2) {
    const word = (args[index] ?? '').toUpperCase();
    const value = args[index + 1];
    if (value === undefined) throw syntaxError();
    if (word === 'COUNT') {
      looked = toNumber(value);
      if (looked < 1) throw syntaxError();
    } else if (word === 'MATCH') matches = glob(value);
    else if (word === 'TYPE') wanted = value.toLowerCase();
    else throw syntaxError();
  }
  const found = db.store.scan(cursor, looked);
  const shown = found.entries.filter(
    ({ key, value }) => matches(key) && (wanted === undefined || typeName(value) === wanted),
  );
  return array([bulk(String(found.cursor)), bulks(shown.map(({ key }) => key))]);
}

/** Moves a value together with its time to live. */
function move(from: ByteString, to: ByteString, { db }: Session, unlessThere: boolean): boolean {
  const entry = db.store.find(from);
  if (entry === undefined) throw new Refusal('ERR no such key');
  if (unlessThere && db.store.find(to) !== undefined) return false;
  if (from === to) return true;
  const { value, expiresAt } = entry;
  db.store.delete(to);
  db.store.delete(from);
  db.store.set(to, value, expiresAt);
  return true;
}

function rename([, from, to]: Args, session: Session): Reply {
  move(from, to, session, false);
  return OK;
}

function randomkey(_: Args, { db, form }: Session): Reply {
  const key = db.store.draw();
  return key === undefined ? form.null : bulk(key);
}

function flushall(args: Args, { db }: Session): Reply {
  const word = args.length > 1 ? args[1].toUpperCase() : 'SYNC';
  if (args.length > 2 || (word !== 'SYNC' && word !== 'ASYNC')) throw syntaxError();
  db.store.clear();
  return OK;
}

function select([, index]: Args): Reply {
  const wanted = toNumber(index);
  if (wanted !== (wanted | 0)) {
    throw new Refusal('ERR value is out of range, value must between -2147483648 and 2147483647');
  }
  if (wanted !== 0) throw new Refusal('ERR DB index is out of range');
  return OK;
}

export const keyspace = family(
  'generic',
  ['del', -2, 'write', ALL_KEYS, 'Removes keys.', del],
  ['unlink', -2, 'write fast', ALL_KEYS, 'Removes keys.', del],
  ['exists', -2, 'readonly fast', ALL_KEYS, 'Counts the keys that exist.', exists],
  ['expire', -3, 'write fast', ONE_KEY, 'Makes a key expire after a number of seconds.', expire('expire', 'EX')],
  ['pexpire', -3, 'write fast', ONE_KEY, 'Makes a key expire after a number of milliseconds.', expire('pexpire', 'PX')],
  [
    'expireat',
    -3,
    'write fast',
    ONE_KEY,
    'Makes a key expire at a time in seconds since 1970.',
    expire('expireat', 'EXAT'),
  ],
  [
    'pexpireat',
    -3,
    'write fast',
    ONE_KEY,
    'Makes a key expire at a time in milliseconds since 1970.',
    expire('pexpireat', 'PXAT'),
  ],
  ['ttl', 2, 'readonly fast', ONE_KEY, 'Returns how many seconds a key has left.', ttl(1000)],
  ['pttl', 2, 'readonly fast', ONE_KEY, 'Returns how many milliseconds a key has left.', ttl(1)],
  ['persist', 2, 'write fast', ONE_KEY, 'Removes the time to live of a key.', persist],
  ['type', 2, 'readonly fast', ONE_KEY, 'Returns the type of the value of a key.', type],
  ['keys', 2, 'readonly', NO_KEYS, 'Returns the keys that match a pattern.', keys],
  ['scan', -2, 'readonly', NO_KEYS, 'Iterates over the keys in steps.', scan],
  ['rename', 3, 'write', [1, 2, 1], 'Moves a value to another key.', rename],
  [
    'renamenx',
    3,
    'write fast',
    [1, 2, 1],
    'Moves a value to a key that does not exist.',
    ([, from, to], session) => flag(move(from, to, session, true)),
  ],
  ['randomkey', 1, 'readonly', NO_KEYS, 'Returns a random key.', randomkey],
  ['dbsize', 1, 'readonly fast', NO_KEYS, 'Counts the keys.', (_, { db }) => integer(db.store.size)],
  ['flushall', -1, 'write', NO_KEYS, 'Removes every key.', flushall],
  ['flushdb', -1, 'write', NO_KEYS, 'Removes every key.', flushall],
  ['select', 2, 'loading stale fast', NO_KEYS, 'Selects the database; there is only one.', select],
);
