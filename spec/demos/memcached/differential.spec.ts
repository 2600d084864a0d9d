import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { connect, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Store } from '../../../demos/memcached/store.ts';
import { cacheOf, talk } from './support.ts';

const present = spawnSync('memcached', ['-V']).status === 0;
// Where everything is to be checked, an original that is missing is a failure; elsewhere it is only said.
if (!present && process.env.CI === undefined)
  console.warn('memcached is not installed: not compared with the original');

/** The end of a reply, whatever it is: the reply to a command that is sent behind each. */
const MARK = 'MN\r\n';

/** The original, one command at a time. */
class Original {
  readonly #process: ChildProcess;
  readonly #port: number;
  #socket: Socket | undefined;
  #got = '';
  #wake: () => void = () => {};
  #lost: (reason: string) => void = () => {};

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.#port = port;
  }

  static async start(): Promise<Original> {
    const port = await freePort();
    const args = ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-t', '1', '-u', 'nobody'];
    const child = spawn('memcached', args, { stdio: 'inherit' });
    for (let attempt = 0; ; attempt += 1) {
      try {
        const original = new Original(child, port);
        await original.connect();
        return original;
      } catch (error) {
        // It listens within milliseconds, and has no way to say when.
        if (attempt === 100 || child.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** Begins a new conversation, in which nothing is left over from the one before. */
  async connect(): Promise<void> {
    this.#socket?.destroy();
    this.#got = '';
    const socket = await connected(this.#port);
    this.#socket = socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.#got += text;
      this.#wake();
    });
    socket.on('close', () => {
      if (socket === this.#socket) this.#lost('connection closed');
    });
  }

  async ask(command: string): Promise<string> {
    this.#got = '';
    this.#socket?.write(Buffer.from(`${command}mn\r\n`, 'latin1'));
    while (!this.#got.endsWith(MARK)) {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        this.#lost = (reason) => reject(new Error(`${reason} after ${JSON.stringify(command.slice(0, 200))}`));
        // A command that makes the original wait for more is a mistake of this file.
        this.#socket?.setTimeout(5000, () => this.#lost('no reply'));
      });
    }
    return this.#got.slice(0, -MARK.length);
  }

  async stop(): Promise<void> {
    this.#socket?.destroy();
    const gone = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await gone;
  }
}

function connected(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket)).on('error', reject);
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

const key = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('a', 'b', 'c', 'n', 'YWI=') },
  { weight: 1, arbitrary: fc.constantFrom('k'.repeat(250), 'k'.repeat(251), '\xe9\xff', 'x\ty') },
);
const data = fc.oneof(
  fc.constantFrom('', '0', '9', '10', '99', '100', '18446744073709551615', ' 5', '7 ', '5x', '-1', '+3'),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  // Not so long that it could be taken for a line that is too long, where the line before it was not understood: how
  // much of one the original reads before it gives up depends on how it comes in.
  fc.constantFrom('x'.repeat(2000)),
);
const flags = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom('0', '1', '32', '4294967295') },
  { weight: 1, arbitrary: fc.constantFrom('-1', 'x', '4294967296', '1.5') },
);
// Nothing that is over in the time this takes, but what is over at once.
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
// The original counts before it finds that `O` is too long, and says so then: ours looks first.
const longOpaque = fc.oneof(
  { weight: 30, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.constantFrom(` O${'o'.repeat(31)}`, ` O${'o'.repeat(32)}`) },
);
const meta = fc.oneof(
  fc.tuple(key, metaFlags, fc.constantFrom('', ' b', ' t', ' T1000 t', ' N1000 t', ' R2000', ' R2000 t')).map(
    // An item that the original makes itself forgets that its key was in base64.
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

describe.skipIf(!present && process.env.CI === undefined)('the original and ours', () => {
  let original: Original;
  let seen: [command: string, reply: string][];
  beforeAll(async () => {
    if (!present) throw new Error('memcached is not installed, and CI compares with it');
    original = await Original.start();
  });
  afterAll(() => original?.stop());
  beforeEach(() => {
    seen = [];
  });

  /** Does the same on both sides. `<cas>` becomes the cas id of the key, which is not the same on both. */
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
    expect(sameKind(ask(ours)), history.join('\n')).toBe(sameKind(reply));
  }

  it('reply the same to whatever they are asked', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 60, size: 'max' }), async (commands) => {
        await original.connect();
        await original.ask('ms x 0\r\n\r\nflush_all\r\n');
        seen = [];
        const cache = cacheOf(new Store(64 * 1024 * 1024));
        // So that the cas id 1 was given long ago, on both sides.
        for (let id = 0; id < 10; id += 1) cache.store.nextCas();
        for (const each of commands) await compare(cache, each);
        const counts = await original.ask('mg a v f\r\nmg b v f\r\nmg c v f\r\nmg n v f\r\nget YWI=\r\n');
        expect(talk(cache, 'mg a v f\r\nmg b v f\r\nmg c v f\r\nmg n v f\r\nget YWI=\r\n')).toBe(counts);
      }),
      { numRuns: 200, endOnFailure: process.env.CI !== undefined },
    );
  }, 120_000);

  it('draw the same line between what is too large and what is not', async () => {
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

/** Cas ids are as they come, and a second may pass between two looks at the time that is left. */
function sameKind(reply: string): string {
  return reply
    .replace(/^(VALUE \S+ \d+ \d+) \d+\r$/gm, '$1 <cas>\r')
    .replace(/ c[1-9]\d*(?=[ \r])/g, ' c<cas>')
    .replace(/ t(\d+)(?=[ \r])/g, (_, seconds: string) => ` t${Math.round(Number(seconds) / 100) * 100}`);
}
