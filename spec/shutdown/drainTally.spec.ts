import { expect, it } from 'vitest';
import { closeReasons } from '../../lib/connection/closing.ts';
import type { CloseReason, ListenEvent } from '../../lib/events.ts';
import { DrainTally } from '../../lib/shutdown/drainTally.ts';

/** The tally uses these fields only. */
const closed = (reason: CloseReason, unsent: number) => ({ type: 'closed', reason, unsent }) as ListenEvent;

it('counts the closes of a drain for a fault of the server as aborted and all others as drained, and adds up what was not sent', () => {
  const tally = new DrainTally();
  for (const reason of Object.keys(closeReasons) as CloseReason[]) tally.count(closed(reason, 3));
  tally.count({ type: 'refused' } as ListenEvent);
  tally.count({ type: 'opened' } as ListenEvent);
  const all = Object.values(closeReasons);
  const byServer = all.filter(({ fault }) => fault === 'server').length;
  expect(byServer).toBeGreaterThan(0);
  expect(tally.report(new Set(), 12)).toEqual({
    drained: all.length - byServer,
    aborted: byServer,
    refused: 1,
    unsent: 3 * all.length,
    duration: 12,
  });
});

it('counts a connection whose socket is not closed as aborted, with what it has not sent', () => {
  const tally = new DrainTally();
  tally.count(closed('drained', 1));
  const left = new Set([{ unsent: 20 }, { unsent: 300 }]);
  expect(tally.report(left, 0)).toEqual({ drained: 1, aborted: 2, refused: 0, unsent: 321, duration: 0 });
});
