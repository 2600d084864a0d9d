import { toNumber } from '../numbers.ts';
import { Refusal, wrongArity } from '../refusal.ts';
import { array, type ByteString, bulk, integer, OK, type Reply, resp2, resp3, simple } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { VERSION } from '../version.ts';
import { kill, listing } from './clients.ts';
import { container, family, NO_KEYS } from './command.ts';

function ping(args: Args, { form, subscriptions }: Session): Reply {
  if (args.length > 2) throw wrongArity('ping');
  const message = args.length === 2 ? args[1] : undefined;
  if (form.version === 2 && subscriptions > 0) return array([bulk('pong'), bulk(message ?? '')]);
  return message === undefined ? simple('PONG') : bulk(message);
}

function checkName(name: ByteString): ByteString {
  if (/^[!-~]*$/.test(name)) return name;
  throw new Refusal('ERR Client names cannot contain spaces, newlines or special characters.');
}

/** Checks every option before it changes anything. */
function hello(args: Args, session: Session): Reply {
  let { form, clientName } = session;
  if (args.length > 1) {
    const version = toNumber(args[1], 'ERR Protocol version is not an integer or out of range');
    if (version !== 2 && version !== 3) throw new Refusal('NOPROTO unsupported protocol version');
    form = version === 3 ? resp3 : resp2;
  }
  for (let index = 2; index < args.length; ) {
    const word = args[index] ?? '';
    const left = args.length - index - 1;
    if (word.toUpperCase() === 'AUTH' && left >= 2) {
      // The only user is `default`, and any password is accepted.
      if (args[index + 1] !== 'default') {
        throw new Refusal('WRONGPASS invalid username-password pair or user is disabled.');
      }
      index += 3;
    } else if (word.toUpperCase() === 'SETNAME' && left >= 1) {
      clientName = checkName(args[index + 1] ?? '');
      index += 2;
    } else throw new Refusal(`ERR Syntax error in HELLO option '${word}'`);
  }
  session.rename(clientName);
  session.form = form;
  const about = {
    server: 'redis',
    version: VERSION,
    proto: form.version,
    id: session.id,
    mode: 'standalone',
    role: 'master',
  };
  const items = Object.entries(about).flatMap(([name, value]) => [
    bulk(name),
    typeof value === 'number' ? integer(value) : bulk(value),
  ]);
  return form.map([...items, bulk('modules'), array([])]);
}

/** Stores what a client library reports about itself; CLIENT LIST shows it. */
function setInfo(args: Args, session: Session): Reply {
  const [, , attribute, value] = args;
  const name = attribute.toLowerCase();
  if (name !== 'lib-name' && name !== 'lib-ver') throw new Refusal(`ERR Unrecognized option '${attribute}'`);
  session.setInfo(name, checkName(value));
  return OK;
}

const setName = ([, , name]: Args, session: Session): Reply => {
  session.rename(checkName(name));
  return OK;
};

const client = container(
  'client',
  -2,
  family(
    'connection',
    ['setname', 3, 'fast', NO_KEYS, 'Names the connection.', setName],
    [
      'getname',
      2,
      'fast',
      NO_KEYS,
      'Returns the name of the connection.',
      (_, { clientName, form }) => (clientName === '' ? form.null : bulk(clientName)),
    ],
    ['id', 2, 'fast', NO_KEYS, 'Returns the ID of the connection.', (_, { id }) => integer(id)],
    [
      'info',
      2,
      'fast',
      NO_KEYS,
      'Describes the connection.',
      (_, session) => session.form.text(listing(session.db, [session])),
    ],
    [
      'list',
      -2,
      'admin',
      NO_KEYS,
      'Describes all connections.',
      (args, { form, db }) => form.text(listing(db, db.sessions.values(), args)),
    ],
    ['kill', -3, 'admin', NO_KEYS, 'Ends connections.', kill],
    ['setinfo', 4, 'fast', NO_KEYS, 'Stores which library the client uses.', setInfo],
  ),
  'Names, shows and ends connections.',
);

export const connection = [
  client,
  ...family(
    'connection',
    ['ping', -1, 'fast', NO_KEYS, 'Replies with PONG or with its argument.', ping],
    ['echo', 2, 'fast', NO_KEYS, 'Returns its argument.', ([, message]) => bulk(message)],
    ['hello', -1, 'loading stale fast', NO_KEYS, 'Chooses the version of the protocol.', hello],
    ['quit', -1, 'loading stale fast', NO_KEYS, 'Ends the connection.', (_, session) => session.quit()],
    [
      'reset',
      1,
      'loading stale fast',
      NO_KEYS,
      'Resets the connection to its initial state.',
      (_, session) => {
        session.reset();
        return simple('RESET');
      },
    ],
  ),
];
