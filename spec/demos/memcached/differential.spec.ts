import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Store } from '../../../demos/memcached/store.ts';
import { Original, skipped } from './original.ts';
import { anyBytes, cacheOf, talk } from './support.ts';

if (skipped) console.warn('memcached is not installed: not compared with the original');

const key = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('a', 'b', 'c', 'n', 'YWI=') },
  { weight: 1, arbitrary: fc.constantFrom('k'.repeat(250), 'k'.repeat(251), '\xe9\xff', 'x\ty') },
);
const data = fc.oneof(
  fc.constantFrom('', '0', '9', '10', '99', '100', '18446744073709551615', ' 5', '7 ', '5x', '-1', '+3'),
  anyBytes,
  // Not so long that it would be a line that is too long when the line before it was invalid: how much of such a line the
  // original reads before it closes depends on the chunks.
  fc.constantFrom('x'.repeat(2000)),
);
const flags = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom('0', '1', '32', '4294967295') },
  { weight: 1, arbitrary: fc.constantFrom('-1', 'x', '4294967296', '1.5') },
);
// Items never expire during the test, or have expired before it.
const exptime = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom('0', '1000', '2592000', '2592001', '-1', '4102444800') },
  { weight: 1, arbitrary: fc.constantFrom('x', '1.5') },
);
const noreply = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom(' noreply', ' noreplyx', ' 0') },
);
const cas = fc.oneof(
  { weight: 6, arbitrary: fc.constant('<cas>') },
  { weight: 1, arbitrary: fc.constantFrom('0', '999999', 'x', '18446744073709551615') },
);
const wrong = fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constantFrom(-1, 1) });
const amount = fc.constantFrom('1', '10', '0', '18446744073709551615', '-1', 'x', '18446744073709551616');

const storage = fc
  .tuple(
    fc.constantFrom('set', 'set', 'add', 'replace', 'append', 'prepend'),
    key,
    flags,
    exptime,
    data,
    noreply,
    wrong,
  )
  .map(
    ([verb, k, f, e, d, n, off]) =>
      `${verb} ${k} ${f} ${e} ${Math.max(0, d.length + off)}${n}\r\n${d}\r\n${off > 0 ? '\r\n' : ''}`,
  );
const casCommand = fc
  .tuple(key, flags, exptime, data, cas, noreply)
  .map(([k, f, e, d, c, n]) => `cas ${k} ${f} ${e} ${d.length} ${c}${n}\r\n${d}\r\n`);
const retrieval = fc.oneof(
  fc
    .tuple(fc.constantFrom('get', 'gets'), fc.array(key, { maxLength: 4 }))
    .map(([verb, ks]) => [verb, ...ks].join(' ')),
  fc.tuple(fc.constantFrom('gat', 'gats'), exptime, key).map((words) => words.join(' ')),
);
const other = fc.oneof(
  fc.tuple(fc.constantFrom('incr', 'decr'), key, amount, noreply).map(([verb, k, a, n]) => `${verb} ${k} ${a}${n}`),
  fc.tuple(key, noreply).map(([k, n]) => `delete ${k}${n}`),
  fc.tuple(key, exptime, noreply).map(([k, e, n]) => `touch ${k} ${e}${n}`),
  fc.constantFrom(
    'flush_all',
    'flush_all noreply',
    'flush_all 0',
    'flush_all x',
    'flush_all 0 noreply',
    'flush_all -1',
  ),
  fc.constantFrom('', ' ', 'x', 'get', 'GET a', 'mg', 'mx a', 'verbosity', 'verbosity 0', 'verbosity x', 'incr a'),
  fc.constantFrom(
    'stats nothing',
    'stats reset',
    'delete',
    'touch a',
    'cas a 0 0 1',
    'set a',
    'get a\0b',
    'get a\r',
    '\r',
  ),
);
const metaFlag = fc.constantFrom('k', 'c', 'f', 's', 'v', 'q', 'Oabc', 'h', 'u', 'P1', 'Lx', '!', 'Tx', 'F7');
const metaFlags = fc.array(metaFlag, { maxLength: 4 }).map((words) => words.map((word) => ` ${word}`).join(''));
// The original executes `ma` before it rejects an `O` that is too long; ours checks it first.
const longOpaque = fc.oneof(
  { weight: 30, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom(` O${'o'.repeat(31)}`, ` O${'o'.repeat(32)}`) },
);
const meta = fc.oneof(
  fc.tuple(key, metaFlags, fc.constantFrom('', ' b', ' t', ' T1000 t', ' N1000 t', ' R0', ' R1000', ' R2000 t')).map(
    // In the original, an item that `N` creates loses the mark that its key was in base64.
    ([k, f, more]) => `mg ${k}${f}${more}`,
  ),
  fc
    .tuple(key, metaFlags, fc.constantFrom('', ' I', ' I T900', ' C<cas>', ' C1', ' C0', ' b', ' I C<cas>'), longOpaque)
    .map(([k, f, more, o]) => `md ${k}${f}${more}${o}`),
  fc
    .tuple(
      key,
      metaFlags,
      fc.constantFrom('', ' N1000', ' N1000 J13', ' D7', ' MD', ' MI', ' M-', ' M+', ' Dx', ' Mx', ' t'),
    )
    .map(([k, f, more]) => `ma ${k}${f}${more}`),
);
const metaSet = fc
  .tuple(
    key,
    data,
    metaFlags,
    fc.constantFrom(
      '',
      '',
      ' T1000',
      ' ME',
      ' MA',
      ' MP',
      ' MR',
      ' MS',
      ' Mx',
      ' MSS',
      ' C<cas>',
      ' C1 I',
      ' b',
      ' C<cas> MA',
    ),
    wrong,
  )
  .map(
    ([k, d, f, more, off]) => `ms ${k} ${Math.max(0, d.length + off)}${f}${more}\r\n${d}\r\n${off > 0 ? '\r\n' : ''}`,
  );
const command = fc.oneof(
  storage,
  casCommand,
  metaSet,
  fc.oneof(retrieval, other, meta).map((line) => `${line}\r\n`),
);

describe.skipIf(skipped)('the original and ours', () => {
  let original: Original;
  let seen: [command: string, reply: string][];
  beforeAll(async () => {
    original = await Original.start();
  });
  afterAll(() => original?.stop());
  beforeEach(() => {
    seen = [];
  });

  /** Sends the same command to both. `<cas>` is replaced by the cas id of the key, which differs between them. */
  async function compare(cache: ReturnType<typeof cacheOf>, command: string): Promise<void> {
    const [, k = ''] = command.split(/[ \r]/);
    const ask = (text: string) => talk(cache, text);
    let theirs = command;
    let ours = command;
    if (command.includes('<cas>')) {
      const idIn = (reply: string) => / c(\d+)/.exec(reply)?.[1] ?? '12345678';
      theirs = command.replace('<cas>', idIn(await original.ask(`mg ${k} c u\r\n`)));
      ours = command.replace('<cas>', idIn(ask(`mg ${k} c u\r\n`)));
    }
    const reply = await original.ask(theirs);
    seen.push([theirs, reply]);
    const history = seen.slice(-8).map((pair) => pair.map((text) => JSON.stringify(text.slice(0, 200))).join(' -> '));
    expect(comparable(ask(ours)), history.join('\n')).toBe(comparable(reply));
  }

  it('send the same replies to any commands', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 60, size: 'max' }), async (commands) => {
        await original.connect();
        await original.ask('ms x 0\r\n\r\nflush_all\r\n');
        seen = [];
        const cache = cacheOf(new Store(64 * 1024 * 1024));
        // So that the cas id 1 is an old one in both stores.
        for (let id = 0; id < 10; id += 1) cache.store.nextCas();
        for (const each of commands) await compare(cache, each);
        const counts = await original.ask('mg a v f\r\nmg b v f\r\nmg c v f\r\nmg n v f\r\nget YWI=\r\n');
        expect(talk(cache, 'mg a v f\r\nmg b v f\r\nmg c v f\r\nmg n v f\r\nget YWI=\r\n')).toBe(counts);
      }),
      { numRuns: 200, endOnFailure: process.env.CI !== undefined },
    );
  }, 120_000);

  it('have the same limit for the size of an item', async () => {
    const cache = cacheOf(new Store(64 * 1024 * 1024));
    for (const flagsWord of ['0', '1']) {
      for (let length = 1024 * 1024 - 70; length < 1024 * 1024 - 55; length += 1) {
        await compare(cache, `set key ${flagsWord} 0 ${length}\r\n${'x'.repeat(length)}\r\n`);
        await compare(cache, 'append key 0 0 1\r\ny\r\n');
        await compare(cache, 'mg key s\r\n');
      }
    }
  }, 60_000);
});

/** A reply without what may differ: cas ids, and the time left, because a second may pass between the two replies. */
function comparable(reply: string): string {
  return reply
    .replace(/^(VALUE [^ ]+ \d+ \d+) \d+\r$/gm, '$1 <cas>\r')
    .replace(/ c[1-9]\d*(?=[ \r])/g, ' c<cas>')
    .replace(/ t(\d+)(?=[ \r])/g, (_, seconds: string) => ` t${Math.round(Number(seconds) / 100) * 100}`);
}
