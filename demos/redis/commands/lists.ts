import { toNumber } from '../numbers.ts';
import { Refusal, wrongArity } from '../refusal.ts';
import { type ByteString, bulk, bulks, integer, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { Deque } from '../store/deque.ts';
import type { List } from '../store/store.ts';
import { family, ONE_KEY, rest } from './command.ts';

const push =
  (onto: (list: List, item: ByteString) => void) =>
  (args: Args, { db }: Session): Reply => {
    const [, key] = args;
    const known = db.store.list(key);
    const list: List = known ?? new Deque();
    for (const item of rest(args, 2)) onto(list, item);
    if (known === undefined) db.store.set(key, list);
    else db.store.changed(key);
    return integer(list.length);
  };

const pop =
  (name: string, from: (list: List) => ByteString | undefined) =>
  (args: Args, { db, form }: Session): Reply => {
    const [, key] = args;
    const many = args.length > 2;
    if (args.length > 3) throw wrongArity(name);
    const wanted = many ? toNumber(args[2], 'ERR value is out of range, must be positive') : 1;
    if (wanted < 0) throw new Refusal('ERR value is out of range, must be positive');
    const list = db.store.list(key);
    if (list === undefined) return many ? form.nullArray : form.null;
    const items: ByteString[] = [];
    while (items.length < wanted) {
      const item = from(list);
      if (item === undefined) break;
      items.push(item);
    }
    if (list.length === 0) db.store.delete(key);
    else if (items.length > 0) db.store.changed(key);
    return many ? bulks(items) : bulk(items[0] ?? '');
  };

function lrange([, key, from, to]: Args, { db }: Session): Reply {
  const [start, stop] = [toNumber(from), toNumber(to)];
  const list = db.store.list(key);
  if (list === undefined) return bulks([]);
  const at = (index: number): number => (index < 0 ? index + list.length : index);
  return bulks(list.slice(at(start), at(stop) + 1));
}

export const lists = family(
  'list',
  [
    'lpush',
    -3,
    'write fast',
    ONE_KEY,
    'Adds items to the front of a list.',
    push((list, item) => list.pushFront(item)),
  ],
  ['rpush', -3, 'write fast', ONE_KEY, 'Adds items to the end of a list.', push((list, item) => list.pushBack(item))],
  [
    'lpop',
    -2,
    'write fast',
    ONE_KEY,
    'Removes items from the front of a list and returns them.',
    pop('lpop', (list) => list.popFront()),
  ],
  [
    'rpop',
    -2,
    'write fast',
    ONE_KEY,
    'Removes items from the end of a list and returns them.',
    pop('rpop', (list) => list.popBack()),
  ],
  ['lrange', 4, 'readonly', ONE_KEY, 'Returns a range of a list.', lrange],
  [
    'llen',
    2,
    'readonly fast',
    ONE_KEY,
    'Counts the items of a list.',
    ([, key], { db }) => integer(db.store.list(key)?.length ?? 0),
  ],
);
