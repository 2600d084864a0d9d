import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../../demos/redis/database.ts';
import { command } from './support/commands.ts';
import { OurClient } from './support/ours.ts';
import { isInstalled, type RealClient, RealRedis } from './support/realRedis.ts';
import type { Reply } from './support/replies.ts';
import { request } from './support/request.ts';

/** Commands whose replies are in the order of a hash table, which is arbitrary. */
const unordered = new Set(['smembers', 'keys', 'scan', 'spop']);

/** A reply, sorted if its order is arbitrary. The commands within EXEC are unknown here, so all of their replies are sorted. */
function comparable(args: readonly string[], reply: Reply | undefined, version: 2 | 3): unknown {
  const name = (args[0] ?? '').toLowerCase();
  const shown = show(reply, name === 'exec' || unordered.has(name));
  if (name !== 'hgetall' || reply === undefined || !('items' in reply)) return shown;
  const pairs: string[] = [];
  for (let index = 0; index < reply.items.length; index += 2) {
    pairs.push(JSON.stringify(reply.items.slice(index, index + 2)));
  }
  return { version, kind: reply.kind, pairs: pairs.sort() };
}

function show(reply: Reply | undefined, sorted: boolean): unknown {
  if (reply === undefined) return 'nothing';
  if ('items' in reply) {
    const items = reply.items.map((item) => show(item, sorted));
    return {
      kind: reply.kind,
      items: sorted ? items.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : items,
    };
  }
  return 'value' in reply ? { ...reply, value: String(reply.value) } : reply;
}

describe.skipIf(!isInstalled('redis-server'))('commands get the same replies as from redis-server', () => {
  let real: RealRedis;
  let theirs: RealClient;

  beforeAll(async () => {
    real = await RealRedis.start();
  });
  afterAll(() => real?.stop());

  async function compare(version: 2 | 3, commands: readonly string[][]): Promise<void> {
    theirs = await real.connect();
    theirs.send(request(['FLUSHALL']) + request(['HELLO', String(version)]));
    await theirs.replies(2);
    const ours = new OurClient(new Database());
    await ours.ask('HELLO', String(version));
    const bytes = commands.map(request).join('');
    theirs.send(bytes);
    ours.send(bytes);
    const expected = await theirs.replies(commands.length);
    const actual = await ours.replies();
    for (const [index, args] of commands.entries()) {
      expect(
        { args, reply: comparable(args, actual[index], version) },
        `reply ${index} of ${JSON.stringify(commands)}`,
      ).toEqual({ args, reply: comparable(args, expected[index], version) });
    }
    expect(actual.length).toBe(expected.length);
    theirs.close();
    ours.leave();
  }

  it.each([2, 3] as const)('RESP%i', { timeout: 120_000 }, async (version) => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 60 }), (commands) => compare(version, commands)),
      { numRuns: 300 },
    );
  });
});
