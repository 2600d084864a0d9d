import { wrongArity } from '../refusal.ts';
import { array, bulk, flag, integer, OK, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { expectRoom, type Fields } from '../store/store.ts';
import { family, ONE_KEY, rest } from './command.ts';

/** @returns How many fields are new. */
function write(args: Args, { db }: Session, name: string): number {
  const [, key] = args;
  if (args.length % 2 === 1) throw wrongArity(name);
  const known = db.store.fields(key);
  const fields: Fields = known ?? new Map();
  const before = fields.size;
  expectRoom(before, (args.length - 2) / 2);
  for (let index = 2; index < args.length; index += 2) fields.set(args[index] ?? '', args[index + 1] ?? '');
  if (known === undefined) db.store.set(key, fields);
  else db.store.changed(key);
  return fields.size - before;
}

function hmset(args: Args, session: Session): Reply {
  write(args, session, 'hmset');
  return OK;
}

function hget([, key, field]: Args, { db, form }: Session): Reply {
  const value = db.store.fields(key)?.get(field);
  return value === undefined ? form.null : bulk(value);
}

function hdel(args: Args, { db }: Session): Reply {
  const [, key] = args;
  const fields = db.store.fields(key);
  if (fields === undefined) return integer(0);
  let removed = 0;
  for (const field of rest(args, 2)) if (fields.delete(field)) removed++;
  if (fields.size === 0) db.store.delete(key);
  else if (removed > 0) db.store.changed(key);
  return integer(removed);
}

function hgetall([, key]: Args, { db, form }: Session): Reply {
  return form.map([...(db.store.fields(key) ?? [])].flat().map(bulk));
}

function hmget(args: Args, { db, form }: Session): Reply {
  const fields = db.store.fields(args[1]);
  return array(
    rest(args, 2).map((field) => {
      const value = fields?.get(field);
      return value === undefined ? form.null : bulk(value);
    }),
  );
}

export const hashes = family(
  'hash',
  [
    'hset',
    -4,
    'write fast',
    ONE_KEY,
    'Sets fields of a hash.',
    (args, session) => integer(write(args, session, 'hset')),
  ],
  ['hmset', -4, 'write fast', ONE_KEY, 'Sets fields of a hash.', hmset],
  ['hget', 3, 'readonly fast', ONE_KEY, 'Returns a field of a hash.', hget],
  ['hdel', -3, 'write fast', ONE_KEY, 'Removes fields of a hash.', hdel],
  ['hgetall', 2, 'readonly', ONE_KEY, 'Returns the fields of a hash and their values.', hgetall],
  ['hmget', -3, 'readonly fast', ONE_KEY, 'Returns several fields of a hash.', hmget],
  [
    'hlen',
    2,
    'readonly fast',
    ONE_KEY,
    'Counts the fields of a hash.',
    ([, key], { db }) => integer(db.store.fields(key)?.size ?? 0),
  ],
  [
    'hexists',
    3,
    'readonly fast',
    ONE_KEY,
    'Returns whether a hash has a field.',
    ([, key, field], { db }) => flag(db.store.fields(key)?.has(field) ?? false),
  ],
);
