import { Refusal, wrongArity } from '../refusal.ts';
import { array, type ByteString, bulk, flag, integer, OK, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { expectRoom } from '../store/store.ts';
import { ALL_KEYS, family, ONE_KEY, rest } from './command.ts';
import { futureExpiry, type Unit } from './expiry.ts';
import { stringOptions } from './stringOptions.ts';

const NEVER = Number.POSITIVE_INFINITY;
/** The longest string, in bytes: the default of Redis is 512 MiB. V8's own limit is slightly above this one. */
const MAX_STRING = 512 * 1024 * 1024 - 64;

function get([, key]: Args, { db, form }: Session): Reply {
  const value = db.store.string(key);
  return value === undefined ? form.null : bulk(value);
}

function set(args: Args, session: Session): Reply {
  const { db, form } = session;
  const [, key, value] = args;
  if (args.length === 3) {
    db.store.set(key, value);
    return OK;
  }
  const { only, get: wantsOld, keepTtl, unit, time } = stringOptions(args, 3, ['NX', 'XX', 'GET', 'KEEPTTL']);
  const expiresAt = unit === undefined ? NEVER : futureExpiry(time, unit, db.store.now, 'set');
  const old = wantsOld ? db.store.string(key) : undefined;
  const entry = db.store.find(key);
  const reply = old === undefined ? form.null : bulk(old);
  if ((only === 'NX' && entry !== undefined) || (only === 'XX' && entry === undefined)) return reply;
  store(session, key, value, keepTtl ? (entry?.expiresAt ?? NEVER) : expiresAt);
  return wantsOld ? reply : OK;
}

/** Sets a key, and logs it with the time when it expires: a duration would start again at each replay. */
function store({ db }: Session, key: ByteString, value: ByteString, expiresAt: number): void {
  db.store.set(key, value, expiresAt);
  db.rewrite(expiresAt === NEVER ? ['SET', key, value] : ['SET', key, value, 'PXAT', String(expiresAt)]);
}

const setex =
  (name: string, unit: Unit) =>
  ([, key, time, value]: Args, session: Session): Reply => {
    store(session, key, value, futureExpiry(time, unit, session.db.store.now, name));
    return OK;
  };

function setnx([, key, value]: Args, { db }: Session): Reply {
  if (db.store.find(key) !== undefined) return flag(false);
  db.store.set(key, value);
  return flag(true);
}

function getset([, key, value]: Args, session: Session): Reply {
  const old = session.db.store.string(key);
  store(session, key, value, NEVER);
  return old === undefined ? session.form.null : bulk(old);
}

function getdel([, key]: Args, { db, form }: Session): Reply {
  const value = db.store.string(key);
  if (value === undefined) return form.null;
  db.store.delete(key);
  db.rewrite(['DEL', key]);
  return bulk(value);
}

function getex(args: Args, { db, form }: Session): Reply {
  const [, key] = args;
  const { unit, time, persist } = stringOptions(args, 2, ['PERSIST']);
  const value = db.store.string(key);
  const entry = db.store.find(key);
  if (value === undefined || entry === undefined) return form.null;
  if (unit !== undefined) db.expire(entry, futureExpiry(time, unit, db.store.now, 'getex'));
  else if (persist && entry.expiresAt !== NEVER) {
    db.store.expireAt(entry, NEVER);
    db.rewrite(['PERSIST', key]);
  }
  return bulk(value);
}

function mget(args: Args, { db, form }: Session): Reply {
  return array(
    rest(args).map((key) => {
      const value = db.store.find(key)?.value;
      return typeof value === 'string' ? bulk(value) : form.null;
    }),
  );
}

function pairs(args: Args, name: string): [ByteString, ByteString][] {
  if (args.length % 2 === 0) throw wrongArity(name);
  const found: [ByteString, ByteString][] = [];
  for (let index = 1; index < args.length; index += 2) found.push([args[index] ?? '', args[index + 1] ?? '']);
  return found;
}

function mset(args: Args, { db }: Session): Reply {
  const wanted = pairs(args, 'mset');
  expectRoom(db.store.size, wanted.length);
  for (const [key, value] of wanted) db.store.set(key, value);
  return OK;
}

function msetnx(args: Args, { db }: Session): Reply {
  const wanted = pairs(args, 'msetnx');
  if (wanted.some(([key]) => db.store.find(key) !== undefined)) return flag(false);
  expectRoom(db.store.size, wanted.length);
  for (const [key, value] of wanted) db.store.set(key, value);
  return flag(true);
}

function append([, key, added]: Args, { db }: Session): Reply {
  const old = db.store.string(key) ?? '';
  if (old.length + added.length > MAX_STRING) {
    throw new Refusal('ERR string exceeds maximum allowed size (proto-max-bulk-len)');
  }
  const value = old + added;
  db.store.set(key, value, db.store.find(key)?.expiresAt);
  return integer(value.length);
}

const strlen = ([, key]: Args, { db }: Session): Reply => integer(db.store.string(key)?.length ?? 0);

export const strings = family(
  'string',
  ['get', 2, 'readonly fast', ONE_KEY, 'Returns the value of a key.', get],
  ['set', -3, 'write', ONE_KEY, 'Sets a key, with optional conditions and expiry.', set],
  ['getset', 3, 'write fast', ONE_KEY, 'Sets a key and returns its old value.', getset],
  ['getdel', 2, 'write fast', ONE_KEY, 'Removes a key and returns its value.', getdel],
  ['getex', -2, 'write fast', ONE_KEY, 'Returns the value of a key and changes when it expires.', getex],
  ['mget', -2, 'readonly fast', ALL_KEYS, 'Returns the values of several keys.', mget],
  ['mset', -3, 'write', [1, -1, 2], 'Sets several keys.', mset],
  ['msetnx', -3, 'write', [1, -1, 2], 'Sets several keys if none of them exists.', msetnx],
  ['setnx', 3, 'write fast', ONE_KEY, 'Sets a key if it does not exist.', setnx],
  ['setex', 4, 'write', ONE_KEY, 'Sets a key for a number of seconds.', setex('setex', 'EX')],
  ['psetex', 4, 'write', ONE_KEY, 'Sets a key for a number of milliseconds.', setex('psetex', 'PX')],
  ['append', 3, 'write fast', ONE_KEY, 'Appends to the value of a key.', append],
  ['strlen', 2, 'readonly fast', ONE_KEY, 'Returns the length of the value of a key, in bytes.', strlen],
);
