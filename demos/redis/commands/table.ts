import type { ByteString } from '../resp/reply.ts';
import type { Command } from './command.ts';
import { connection } from './connection.ts';
import { counters } from './counters.ts';
import { hashes } from './hashes.ts';
import { introspection } from './introspection.ts';
import { keyspace } from './keys.ts';
import { lists } from './lists.ts';
import { publishing } from './publishing.ts';
import { server } from './server.ts';
import { sets } from './sets.ts';
import { strings } from './strings.ts';
import { transactions } from './transactions.ts';

/** Every command. */
export const commands: readonly Command[] = [
  ...connection,
  ...server,
  ...introspection(() => ({ commands, commandOf })),
  ...strings,
  ...counters,
  ...keyspace,
  ...lists,
  ...sets,
  ...hashes,
  ...transactions,
  ...publishing,
];

const byName = new Map<ByteString, Command>();
for (const command of commands) {
  byName.set(command.name, command);
  byName.set(command.name.toUpperCase(), command);
}

/** Finds a command by its name, in any mixture of cases. All lower or all upper case needs no new string. */
export const commandOf = (name: ByteString): Command | undefined => byName.get(name) ?? byName.get(name.toLowerCase());
