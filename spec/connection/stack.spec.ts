import { NEVER } from 'rxjs';
import { expect, it } from 'vitest';
import type { Connection } from '../../lib/connection/connection.ts';
import { withFreshModules } from '../support/freshModules.ts';
import { TestServer } from '../support/testServer.ts';

it('requires stack for a compilation of the code of a rare change, however often another change was made', async () => {
  const { hasStack } = await withFreshModules(() => import('../../lib/connection/stack.ts'));
  for (let ends = 0; ends < 1000; ends++) hasStack('end');
  let rare: boolean | undefined;
  // Fills the stack, and queries both while it unwinds: the first frame with room for an end has none for a compilation.
  const recurse = (): void => {
    try {
      recurse();
    } finally {
      if (rare === undefined && hasStack('end')) rare = hasStack('abort');
    }
  };
  expect(recurse).toThrow(RangeError);
  expect(rare).toBe(false);
  expect([hasStack('end'), hasStack('abort')]).toEqual([true, true]);
});

it.each<[string, (one: Connection) => void, reason: string]>([
  ['end', (one) => one.end(), 'completed'],
  ['abort', (one) => one.abort(), 'aborted'],
  ['drain', (one) => one.drain(), 'drained'],
])(
  '%s takes effect, once the stack is empty, if it returns where the stack has almost no room',
  async (_, call, reason) => {
    const served: Connection[] = [];
    const server = await TestServer.open((connection) => {
      served.push(connection);
      return reason === 'drained' ? connection : NEVER;
    });
    const client = await server.connect();
    let calls = 0;
    // The frame that is the first to return from the call is the only one that makes it.
    const recurse = (): void => {
      try {
        recurse();
      } finally {
        if (calls === 0) {
          for (const one of served) call(one);
          calls++;
        }
      }
    };
    expect(recurse).toThrow(RangeError);
    expect(calls).toBe(1);
    await server.clock.settle();
    client.end();
    await server.clock.settle();
    expect(server.log.closes).toEqual([reason]);
  },
);
