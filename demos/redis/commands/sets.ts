import { toNumber } from '../numbers.ts';
import { Refusal, syntaxError } from '../refusal.ts';
import { type ByteString, bulk, flag, integer, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { RandomSet } from '../store/randomSet.ts';
import { expectRoom, type Members } from '../store/store.ts';
import { family, ONE_KEY, rest } from './command.ts';

function sadd(args: Args, { db }: Session): Reply {
  const [, key] = args;
  const known = db.store.members(key);
  const members: Members = known ?? new RandomSet();
  expectRoom(members.size, args.length - 2);
  let added = 0;
  for (const member of rest(args, 2)) if (members.add(member)) added++;
  if (known === undefined) db.store.set(key, members);
  else if (added > 0) db.store.changed(key);
  return integer(added);
}

function srem(args: Args, { db }: Session): Reply {
  const [, key] = args;
  const members = db.store.members(key);
  if (members === undefined) return integer(0);
  let removed = 0;
  for (const member of rest(args, 2)) if (members.delete(member)) removed++;
  if (members.size === 0) db.store.delete(key);
  else if (removed > 0) db.store.changed(key);
  return integer(removed);
}

/** Logs which members were removed, because replaying SPOP would choose different ones. */
function spop(args: Args, { db, form }: Session): Reply {
  const [, key] = args;
  const many = args.length > 2;
  if (args.length > 3) throw syntaxError();
  const wanted = many ? toNumber(args[2], 'ERR value is out of range, must be positive') : 1;
  if (wanted < 0) throw new Refusal('ERR value is out of range, must be positive');
  const members = db.store.members(key);
  if (members === undefined) return many ? form.set([]) : form.null;
  const drawn: ByteString[] = [];
  while (drawn.length < wanted) {
    const member = members.draw(db.store.random());
    if (member === undefined) break;
    members.delete(member);
    drawn.push(member);
  }
  if (drawn.length > 0) db.rewrite(['SREM', key, ...drawn]);
  if (members.size === 0) db.store.delete(key);
  else if (drawn.length > 0) db.store.changed(key);
  return many ? form.set(drawn.map(bulk)) : bulk(drawn[0] ?? '');
}

const smembers = ([, key]: Args, { db, form }: Session): Reply =>
  form.set((db.store.members(key)?.values() ?? []).map(bulk));

export const sets = family(
  'set',
  ['sadd', -3, 'write fast', ONE_KEY, 'Adds members to a set.', sadd],
  ['srem', -3, 'write fast', ONE_KEY, 'Removes members from a set.', srem],
  ['spop', -2, 'write fast', ONE_KEY, 'Removes random members and returns them.', spop],
  ['smembers', 2, 'readonly', ONE_KEY, 'Returns the members of a set.', smembers],
  [
    'sismember',
    3,
    'readonly fast',
    ONE_KEY,
    'Returns whether a set has a member.',
    ([, key, member], { db }) => flag(db.store.members(key)?.has(member) ?? false),
  ],
  [
    'scard',
    2,
    'readonly fast',
    ONE_KEY,
    'Counts the members of a set.',
    ([, key], { db }) => integer(db.store.members(key)?.size ?? 0),
  ],
);
