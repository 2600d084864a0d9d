import { costOfName, costOfPattern } from '../costs.ts';
import { type ByteString, bulk, integer, Pieces, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { family, NO_KEYS, rest } from './command.ts';

/** Replies to one command with one message for each channel, because clients count these messages. */
function confirm(
  kind: string,
  names: Iterable<ByteString>,
  session: Session,
  change: (name: ByteString) => void,
): Reply {
  const pieces = new Pieces();
  const count = () => integer(session.subscriptions);
  for (const name of names) {
    change(name);
    pieces.add(session.form.push([bulk(kind), bulk(name), count()]));
  }
  return pieces.all || session.form.push([bulk(kind), session.form.null, count()]);
}

function subscribe(args: Args, session: Session): Reply {
  session.expectNames(rest(args), session.channels, costOfName);
  return confirm('subscribe', rest(args), session, (channel) => session.subscribe(channel));
}

function psubscribe(args: Args, session: Session): Reply {
  session.expectNames(rest(args), session.patterns, costOfPattern);
  return confirm('psubscribe', rest(args), session, (pattern) => session.subscribePattern(pattern));
}

const unsubscribe = (args: Args, session: Session): Reply =>
  confirm('unsubscribe', args.length > 1 ? rest(args) : [...session.channels], session, (channel) =>
    session.unsubscribe(channel),
  );

const punsubscribe = (args: Args, session: Session): Reply =>
  confirm('punsubscribe', args.length > 1 ? rest(args) : [...session.patterns], session, (pattern) =>
    session.unsubscribePattern(pattern),
  );

export const publishing = family(
  'pubsub',
  ['subscribe', -2, 'pubsub loading stale', NO_KEYS, 'Subscribes to channels.', subscribe],
  ['unsubscribe', -1, 'pubsub loading stale', NO_KEYS, 'Unsubscribes from channels.', unsubscribe],
  ['psubscribe', -2, 'pubsub loading stale', NO_KEYS, 'Subscribes to the channels that match patterns.', psubscribe],
  ['punsubscribe', -1, 'pubsub loading stale', NO_KEYS, 'Unsubscribes from patterns.', punsubscribe],
  [
    'publish',
    3,
    'pubsub loading stale fast',
    NO_KEYS,
    'Sends a message to the subscribers of a channel.',
    ([, channel, message], { db }) => integer(db.pubsub.publish(channel, message)),
  ],
);
