import { type ByteString, bulk, integer } from '../resp/reply.ts';
import type { Session } from '../session.ts';
import { type Args, family, NO_KEYS, rest } from './command.ts';

/** One message for each channel, though they answer one command: so a client can count them. */
function confirm(
  kind: string,
  names: Iterable<ByteString>,
  session: Session,
  change: (name: ByteString) => void,
): ByteString {
  let text = '';
  for (const name of names) {
    change(name);
    text += session.form.push([bulk(kind), bulk(name), integer(session.subscriptions)]);
  }
  return text || session.form.push([bulk(kind), session.form.null, integer(session.subscriptions)]);
}

const subscribe = (args: Args, session: Session): ByteString =>
  confirm('subscribe', rest(args), session, (channel) => {
    session.channels.add(channel);
    session.db.pubsub.subscribe(channel, session);
  });

const psubscribe = (args: Args, session: Session): ByteString =>
  confirm('psubscribe', rest(args), session, (pattern) => {
    session.patterns.add(pattern);
    session.db.pubsub.subscribePattern(pattern, session);
  });

const unsubscribe = (args: Args, session: Session): ByteString =>
  confirm('unsubscribe', args.length > 1 ? rest(args) : [...session.channels], session, (channel) => {
    session.channels.delete(channel);
    session.db.pubsub.unsubscribe(channel, session);
  });

const punsubscribe = (args: Args, session: Session): ByteString =>
  confirm('punsubscribe', args.length > 1 ? rest(args) : [...session.patterns], session, (pattern) => {
    session.patterns.delete(pattern);
    session.db.pubsub.unsubscribePattern(pattern, session);
  });

export const publishing = family(
  'pubsub',
  ['subscribe', -2, 'pubsub loading stale', NO_KEYS, 'Listens to channels.', subscribe],
  ['unsubscribe', -1, 'pubsub loading stale', NO_KEYS, 'Stops listening to channels.', unsubscribe],
  ['psubscribe', -2, 'pubsub loading stale', NO_KEYS, 'Listens to the channels that match patterns.', psubscribe],
  ['punsubscribe', -1, 'pubsub loading stale', NO_KEYS, 'Stops listening to patterns.', punsubscribe],
  [
    'publish',
    3,
    'pubsub loading stale fast',
    NO_KEYS,
    'Sends a message to who listens to a channel.',
    ([, channel, message], { db }) => integer(db.pubsub.publish(channel, message)),
  ],
);
