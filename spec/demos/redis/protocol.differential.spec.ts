import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../../demos/redis/database.ts';
import { OurClient } from './support/ours.ts';
import { isInstalled, RealRedis } from './support/realRedis.ts';
import type { Reply } from './support/replies.ts';
import { request } from './support/request.ts';

/** Valid and invalid requests. */
const pieces = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom('*1\r\n$4\r\nPING\r\n', '*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n', 'PING\r\n', 'ping\n'),
    },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        'ECHO "a b\\x41\\n\\t\\"q"\r\n',
        "ECHO 'it\\'s\\n'\r\n",
        'ECHO a"b c"\r\n',
        "  ECHO\t'' \r\n",
        'ECHO "\\xzz\\\\"\r\n',
        "ECHO '\\\\'\r\n",
        '\r\n',
        '*0\r\n',
        '*-1\r\n',
        '*-10\r\n',
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'ECHO "open\r\n',
        'ECHO "a"b\r\n',
        "ECHO 'a\\'\r\n",
        '*x\r\n',
        '*\r\n',
        '*01\r\n',
        '*+1\r\n',
        '*1\r\n+PING\r\n',
        '*1\r\nPING\r\n',
        '*1\r\n\r\n',
        '*1\r\n$-1\r\n',
        '*1\r\n$x\r\n',
        '*1\r\n$\r\n',
        '*1\r\n$999999999999\r\n',
        '*99999999999\r\n',
        '*1\r\n$04\r\nPING\r\n',

        '*1\r\n$0\r\n\r\n',
      ),
    },
  ),
  { minLength: 1, maxLength: 6 },
);
/** Only the last request may be incomplete: the two servers differ in how soon they notice that what follows is invalid. */
const half = fc.constantFrom('', '*2\r\n$4\r\nPI', '*1\r\n$', '*', 'PIN', '*1\r\n$4\r\nPING\r');
const bytes = fc.tuple(pieces, half).map(([whole, rest]) => whole.join('') + rest);

describe.skipIf(!isInstalled('redis-server'))('bytes are decoded as by redis-server', () => {
  let real: RealRedis;
  beforeAll(async () => {
    real = await RealRedis.start();
  });
  afterAll(() => real?.stop());

  it('get the same replies, and end the connection in the same cases', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(bytes, async (text) => {
        const theirs = await real.connect();
        theirs.send(text);
        theirs.end();
        const ours = new OurClient(new Database());
        ours.send(text);
        ours.end();
        expect(await ours.replies()).toEqual(await theirs.everything());
        expect(ours.ended).toBeDefined();
      }),
      { numRuns: 500 },
    );
  });
});

/** Commands with which clients affect each other. There is one channel and one pattern, because Redis has no order among more. */
const interaction = fc.oneof(
  fc.constantFrom(['SUBSCRIBE', 'news'], ['UNSUBSCRIBE', 'news'], ['UNSUBSCRIBE'], ['SUBSCRIBE', 'news', 'news']),
  fc.constantFrom(['PSUBSCRIBE', 'n[de]*'], ['PUNSUBSCRIBE', 'n[de]*'], ['PUNSUBSCRIBE'], ['RESET']),
  fc.constantFrom(['PUBLISH', 'news', 'hello'], ['PUBLISH', 'other', 'hello'], ['PUBLISH', 'news', '\r\n\xff']),
  fc.constantFrom(['MULTI'], ['EXEC'], ['DISCARD'], ['WATCH', 'a'], ['WATCH', 'a', 'b'], ['UNWATCH'], ['EXEC', 'x']),
  fc.constantFrom(
    ['SET', 'a', '1'],
    ['GET', 'a'],
    ['DEL', 'a'],
    ['INCR', 'b'],
    ['SADD', 'b', 'x'],
    ['GETEX', 'a', 'EX', '100'],
  ),
  fc.constantFrom(
    ['SREM', 'b', 'y'],
    ['EXPIRE', 'a', '100'],
    ['EXPIRE', 'a', '-1'],
    ['PERSIST', 'a'],
    ['FLUSHALL'],
    ['GET'],
  ),
  fc.constantFrom(
    ['RENAME', 'a', 'b'],
    ['MSETNX', 'a', '1'],
    ['PING'],
    ['PING', 'x'],
    ['nonsense'],
    ['SET', 'a', '1', 'NX'],
  ),
);

describe.skipIf(!isInstalled('redis-server'))('clients affect each other as in redis-server', () => {
  let real: RealRedis;
  beforeAll(async () => {
    real = await RealRedis.start();
  });
  afterAll(() => real?.stop());

  const steps = fc.array(fc.tuple(fc.nat({ max: 2 }), interaction), { minLength: 1, maxLength: 40 });
  const versions = fc.array(fc.constantFrom('2', '3'), { minLength: 3, maxLength: 3 });

  it('by transactions, watched keys and messages', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(steps, versions, async (commands, protocols) => {
        const db = new Database();
        const ours = protocols.map(() => new OurClient(db));
        const theirs = await Promise.all(protocols.map(() => real.connect()));
        const seen: [ours: Reply[], theirs: Reply[]][] = protocols.map(() => [[], []]);
        // Our server is first, so its replies show how many each client of theirs must receive before the next command is sent.
        const send = async (client: number, args: readonly string[]): Promise<void> => {
          ours[client]?.send(request(args));
          theirs[client]?.send(request(args));
          for (const [index, [mine, other]] of seen.entries()) {
            mine.push(...((await ours[index]?.replies()) ?? []));
            other.push(...((await theirs[index]?.replies(mine.length - other.length)) ?? []));
          }
        };
        for (const [index, version] of protocols.entries()) {
          theirs[index]?.send(request(['FLUSHALL']));
          await theirs[index]?.replies(1);
          await send(index, ['HELLO', version]);
          seen[index] = [[], []];
        }
        for (const [client, args] of commands) await send(client, args);
        for (const index of protocols.keys()) await send(index, ['QUIT']);
        for (const [index, [mine, other]] of seen.entries()) {
          other.push(...((await theirs[index]?.everything()) ?? []));
          expect(mine, `client ${index} after ${JSON.stringify(commands)}`).toEqual(other);
        }
      }),
      { numRuns: 200 },
    );
  });
});
