import { expect, it } from 'vitest';
import type { SocketConnection } from '../../lib/connection/socketConnection.ts';
import type { Closed } from '../../lib/events.ts';
import { closedEvent } from '../../lib/listen/closedEvent.ts';

const connection = { id: 7, peer: { address: '192.0.2.1', port: 1 } } as SocketConnection;
const figures = {
  bytesIn: 1,
  bytesOut: 2,
  unsent: 3,
  dropped: 4,
  paused: { handler: 5, peer: 6, budget: 7 },
  duration: 8,
};
const always = { type: 'closed', id: 7, peer: { address: '192.0.2.1', port: 1 }, ...figures };
const error = new Error('why');

it.each<[string, Closed, object]>([
  ['the reason alone', { ...figures, reason: 'ended' }, { reason: 'ended' }],
  ['an error', { ...figures, reason: 'failed', error }, { reason: 'failed', error }],
  [
    'an error of a deadline',
    { ...figures, reason: 'deadline', error, deadline: 'idle' },
    { reason: 'deadline', error, deadline: 'idle' },
  ],
  ['an error of an eviction', { ...figures, reason: 'evicted', error, held: 9 }, { reason: 'evicted', error, held: 9 }],
  [
    'a detail without an error',
    { ...figures, reason: 'aborted', detail: 'x' } as Closed,
    { reason: 'aborted', detail: 'x' },
  ],
])(
  'the event of a closed connection has the figures and only the fields that are known: %s',
  (_what, closed, fields) => {
    // Strict, because a field that is `undefined` would be in the JSON of some loggers.
    expect(closedEvent(connection, closed)).toStrictEqual({ ...always, ...fields });
  },
);
