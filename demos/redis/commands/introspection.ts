import { Refusal } from '../refusal.ts';
import { array, type ByteString, bulk, bulks, type Form, integer, simple } from '../resp/reply.ts';
import type { Session } from '../session.ts';
import { type Args, type Command, family, NO_KEYS, rest } from './command.ts';

/** What COMMAND says of one command, in the ten places that Redis 7 has. */
const describe = ({ name, arity, flags, keys, group }: Command, form: Form): ByteString =>
  array([
    bulk(name),
    integer(arity),
    form.set(flags.map(simple)),
    ...keys.map(integer),
    form.set([simple(`@${group}`)]),
    array([]),
    array([]),
    array([]),
  ]);

const document = ({ name, summary, group }: Command, form: Form): ByteString[] => [
  bulk(name),
  form.map([bulk('summary'), bulk(summary), bulk('group'), bulk(group)]),
];

function keysOf(command: Command | undefined, request: readonly ByteString[]): ByteString[] {
  if (command === undefined) throw new Refusal('ERR Invalid command specified');
  const [first, last, step] = command.keys;
  if (first === 0) throw new Refusal('ERR The command has no key arguments');
  const { arity } = command;
  if (arity < 0 ? request.length < -arity : request.length !== arity) {
    throw new Refusal('ERR Invalid number of arguments specified for command');
  }
  const end = last < 0 ? request.length + last : last;
  return request.filter((_, index) => index >= first && index <= end && (index - first) % step === 0);
}

/** All commands, and the one of a name. */
export interface Table {
  readonly commands: readonly Command[];
  commandOf(name: ByteString): Command | undefined;
}

function command(args: Args, { form }: Session, { commands, commandOf }: Table): ByteString {
  if (args.length === 1) return array(commands.map((each) => describe(each, form)));
  const names = rest(args, 2);
  const chosen = (): (Command | undefined)[] => (names.length > 0 ? names.map(commandOf) : [...commands]);
  switch (args[1].toLowerCase()) {
    case 'count':
      return integer(commands.length);
    case 'list':
      return bulks(commands.map(({ name }) => name));
    case 'info':
      return array(chosen().map((each) => (each === undefined ? form.nullArray : describe(each, form))));
    case 'docs':
      return form.map(chosen().flatMap((each) => (each === undefined ? [] : document(each, form))));
    case 'getkeys':
      if (names.length > 0) return bulks(keysOf(commandOf(names[0] ?? ''), names));
      throw new Refusal("ERR wrong number of arguments for 'command|getkeys' command");
    default:
      throw new Refusal(`ERR unknown subcommand '${args[1].slice(0, 128)}'. Try COMMAND HELP.`);
  }
}

/** The table tells about itself, so it is handed in: it does not exist yet when this family joins it. */
export const introspection = (table: () => Table): Command[] =>
  family('server', [
    'command',
    -1,
    'loading stale',
    NO_KEYS,
    'Tells which commands there are.',
    (args, session) => command(args, session, table()),
  ]);
