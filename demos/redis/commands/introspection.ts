import { glob } from '../glob.ts';
import { Refusal, syntaxError } from '../refusal.ts';
import { array, type ByteString, bulk, bulks, type Form, integer, type Reply, simple } from '../resp/reply.ts';
import { type Command, container, family, NO_KEYS, rest } from './command.ts';

/** What COMMAND says of one command, in the ten places that Redis 7 has. */
const describe = ({ name, arity, flags, keys, group }: Command, form: Form): Reply =>
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

const document = ({ name, summary, group }: Command, form: Form): Reply[] => [
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

/** The table tells about itself, so it is handed in: it does not exist yet when this family joins it. */
export function introspection(table: () => Table): Command[] {
  const chosen = (names: readonly ByteString[]): (Command | undefined)[] =>
    names.length > 0 ? names.map(table().commandOf) : [...table().commands];
  const info = (names: readonly ByteString[], form: Form): Reply =>
    array(chosen(names).map((each) => (each === undefined ? form.null : describe(each, form))));
  const docs = (names: readonly ByteString[], form: Form): Reply =>
    form.map(chosen(names).flatMap((each) => (each === undefined ? [] : document(each, form))));
  const list = (words: readonly ByteString[]): Reply => {
    const [filter, kind, pattern = '*'] = words;
    const filters = filter?.toUpperCase() === 'FILTERBY' && kind?.toUpperCase() === 'PATTERN' && words.length === 3;
    if (words.length > 0 && !filters) throw syntaxError();
    const matches = glob(pattern.toLowerCase());
    return bulks(table().commands.flatMap(({ name }) => (matches(name) ? name : [])));
  };
  const getKeys = (request: readonly ByteString[]): Reply =>
    bulks(keysOf(table().commandOf(request[0] ?? ''), request));
  const children = family(
    'server',
    ['count', 2, 'loading stale', NO_KEYS, 'Counts the commands.', () => integer(table().commands.length)],
    ['list', -2, 'loading stale', NO_KEYS, 'Names the commands.', (args) => list(rest(args, 2))],
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
  return [container('command', -1, children, 'Tells which commands there are.', (_, { form }) => info([], form))];
}
