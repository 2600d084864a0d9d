import { Refusal } from '../refusal.ts';
import { OK } from '../resp/reply.ts';
import { ALL_KEYS, family, NO_KEYS, rest } from './command.ts';

export const transactions = family(
  'transactions',
  [
    'multi',
    1,
    'fast',
    NO_KEYS,
    'Begins to queue commands.',
    (_, { transaction }) => {
      transaction.begin();
      return OK;
    },
  ],
  [
    'exec',
    1,
    'fast',
    NO_KEYS,
    'Carries out what is queued, unless a watched key has changed.',
    (_, { transaction }) => transaction.execute(),
  ],
  [
    'discard',
    1,
    'fast',
    NO_KEYS,
    'Forgets what is queued.',
    (_, { transaction }) => {
      if (!transaction.open) throw new Refusal('ERR DISCARD without MULTI');
      transaction.discard();
      return OK;
    },
  ],
  [
    'watch',
    -2,
    'fast',
    ALL_KEYS,
    'Lets the next transaction fail if one of these keys changes before.',
    (args, { transaction }) => {
      transaction.watch(rest(args));
      return OK;
    },
  ],
  [
    'unwatch',
    1,
    'fast',
    NO_KEYS,
    'Forgets the watched keys.',
    (_, { transaction }) => {
      transaction.unwatch();
      return OK;
    },
  ],
);
