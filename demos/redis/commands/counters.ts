import { addDecimals } from '../addDecimals.ts';
import { addIntegers, toBigInt } from '../numbers.ts';
import { Refusal } from '../refusal.ts';
import { type ByteString, bulk, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { family, ONE_KEY } from './command.ts';

/** Adds to a counter, which keeps its time to live. */
function add(key: ByteString, by: bigint, { db }: Session): Reply {
  const sum = addIntegers(db.store.string(key) ?? '0', by);
  db.store.set(key, sum, db.store.find(key)?.expiresAt);
  return `:${sum}\r\n`;
}

function decrby([, key, by]: Args, session: Session): Reply {
  const amount = toBigInt(by);
  if (amount === -(2n ** 63n)) throw new Refusal('ERR decrement would overflow');
  return add(key, -amount, session);
}

function incrbyfloat([, key, by]: Args, { db }: Session): Reply {
  const sum = addDecimals(db.store.string(key) ?? '0', by);
  db.store.set(key, sum, db.store.find(key)?.expiresAt);
  db.rewrite(['SET', key, sum, 'KEEPTTL']);
  return bulk(sum);
}

export const counters = family(
  'string',
  ['incr', 2, 'write fast', ONE_KEY, 'Adds one to an integer.', ([, key], session) => add(key, 1n, session)],
  ['decr', 2, 'write fast', ONE_KEY, 'Subtracts one from an integer.', ([, key], session) => add(key, -1n, session)],
  [
    'incrby',
    3,
    'write fast',
    ONE_KEY,
    'Adds to an integer.',
    ([, key, by], session) => add(key, toBigInt(by), session),
  ],
  ['decrby', 3, 'write fast', ONE_KEY, 'Subtracts from an integer.', decrby],
  ['incrbyfloat', 3, 'write fast', ONE_KEY, 'Adds to a decimal number.', incrbyfloat],
);
