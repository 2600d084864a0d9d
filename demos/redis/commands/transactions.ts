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
    'Executes the queued commands, unless a watched key has changed.',
    (_, { transaction }) => transaction.execute(),
  ],
  [
    'discard',
    1,
    'fast',
    NO_KEYS,
    'Discards the queued commands.',
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
    'Makes the next transaction fail if one of these keys changes before it.',
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
    'Stops watching all keys.',
    (_, { transaction }) => {
      transaction.unwatch();
      return OK;
    },
  ],
);
