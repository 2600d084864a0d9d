import { glob } from '../glob.ts';
import { Refusal, syntaxError } from '../refusal.ts';
import { array, type ByteString, bulk, bulks, type Form, integer, type Reply, simple } from '../resp/reply.ts';
import { type Command, container, family, NO_KEYS, rest } from './command.ts';

/** What COMMAND reports about one command, in the ten fields of Redis 7. */
const describe = ({ name, arity, flags, keys, group, subcommands }: Command, form: Form): Reply =>
  array([
    bulk(name),
    integer(arity),
    form.set(flags.map(simple)),
    ...keys.map(integer),
    form.set([simple(`@${group}`)]),
    array([]),
    array([]),
    array([...(subcommands?.values() ?? [])].map((each) => describe(each, form))),
  ]);

const document = ({ name, summary, group, subcommands }: Command, form: Form): Reply[] => {
  const about = [bulk('summary'), bulk(summary), bulk('group'), bulk(group)];
  if (subcommands === undefined) return [bulk(name), form.map(about)];
  const parts = [...subcommands.values()].flatMap((each) => document(each, form));
  return [bulk(name), form.map([...about, bulk('subcommands'), form.map(parts)])];
};

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

/** All commands, and a lookup by name. */
export interface Table {
  readonly commands: readonly Command[];
  commandOf(name: ByteString): Command | undefined;
}

/** The commands that describe the table. It is passed as a function, because it does not exist yet when they are created. */
export function introspection(table: () => Table): Command[] {
  /** Finds a command by a name such as `get` or `config|get`. */
  const named = (name: ByteString): Command | undefined => {
    const [first = '', second, ...more] = name.split('|');
    const command = table().commandOf(first);
    if (second === undefined) return command;
    return more.length > 0 ? undefined : command?.subcommands?.get(second.toLowerCase());
  };
  const chosen = (names: readonly ByteString[]): (Command | undefined)[] =>
    names.length > 0 ? names.map(named) : [...table().commands];
  const info = (names: readonly ByteString[], form: Form): Reply =>
    array(chosen(names).map((each) => (each === undefined ? form.null : describe(each, form))));
  const docs = (names: readonly ByteString[], form: Form): Reply =>
    form.map(chosen(names).flatMap((each) => (each === undefined ? [] : document(each, form))));
  const list = (words: readonly ByteString[]): Reply => {
    const [filter, kind, pattern = '*'] = words;
    const filters = filter?.toUpperCase() === 'FILTERBY' && kind?.toUpperCase() === 'PATTERN' && words.length === 3;
    if (words.length > 0 && !filters) throw syntaxError();
    const matches = glob(pattern.toLowerCase());
    const all = table().commands.flatMap((each) => [each, ...(each.subcommands?.values() ?? [])]);
    return bulks(all.flatMap(({ name }) => (matches(name) ? name : [])));
  };
  const calledBy = ([name = '', word = '']: readonly ByteString[]): Command | undefined => {
    const command = table().commandOf(name);
    return command?.subcommands === undefined ? command : command.subcommands.get(word.toLowerCase());
  };
  const getKeys = (request: readonly ByteString[]): Reply => bulks(keysOf(calledBy(request), request));
  const children = family(
    'server',
    ['count', 2, 'loading stale', NO_KEYS, 'Counts the commands.', () => integer(table().commands.length)],
    ['list', -2, 'loading stale', NO_KEYS, 'Lists the names of the commands.', (args) => list(rest(args, 2))],
    [
      'info',
      -2,
      'loading stale',
      NO_KEYS,
      'Describes commands for programs.',
      (args, { form }) => info(rest(args, 2), form),
    ],
    [
      'docs',
      -2,
      'loading stale',
      NO_KEYS,
      'Describes commands for people.',
      (args, { form }) => docs(rest(args, 2), form),
    ],
    ['getkeys', -4, 'loading stale', NO_KEYS, 'Finds the keys in a command.', (args) => getKeys(rest(args, 2))],
  );
  return [container('command', -1, children, 'Describes all commands.', (_, { form }) => info([], form))];
}
