import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Builds, buildAll } from '../../demos/bench/build.ts';
import { casesFor, full, jobFor, quick } from '../../demos/bench/cases.ts';
import type { Job, Mode, Sample } from '../../demos/bench/load/job.ts';
import { Latencies } from '../../demos/bench/load/latency.ts';
import { wireOf } from '../../demos/bench/load/wire.ts';
import { choose, readOptions, usage } from '../../demos/bench/options.ts';
import { peers } from '../../demos/bench/peers.ts';
import { cpuBetween, parseSchedstat, parseStat } from '../../demos/bench/proc/cpu.ts';
import { checkDescriptors } from '../../demos/bench/proc/descriptors.ts';
import { LoadProcess } from '../../demos/bench/proc/load.ts';
import { parseResident } from '../../demos/bench/proc/memory.ts';
import { nodeFor } from '../../demos/bench/proc/node.ts';
import { startServer } from '../../demos/bench/proc/server.ts';
import { chart } from '../../demos/bench/report/chart.ts';
import { median, show } from '../../demos/bench/report/numbers.ts';
import { caseTable, table } from '../../demos/bench/report/table.ts';
import type { Result } from '../../demos/bench/rounds.ts';
import { judge, ratioOf, targets } from '../../demos/bench/targets.ts';
import { valueCase, valuePeers } from '../../demos/bench/values.ts';
import { selfSigned } from '../support/certificates.ts';

const samples = (...figures: (number | undefined)[]): (Sample | undefined)[] =>
  figures.map((figure) => (figure === undefined ? undefined : { figure, count: 1 }));

describe('a list of numbers', () => {
  it('has a median: the middle one, or the mean of the two in the middle; undefined without numbers', () => {
    expect(median([])).toBeUndefined();
    expect(median([7])).toBe(7);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([10, 1, 9, 2])).toBe(5.5);
  });

  it('has at most half of any numbers above the median, and at most half below', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (numbers) => {
        const middle = median(numbers) ?? Number.NaN;
        const below = numbers.filter((number) => number < middle).length;
        const above = numbers.filter((number) => number > middle).length;
        expect(below).toBeLessThanOrEqual(numbers.length / 2);
        expect(above).toBeLessThanOrEqual(numbers.length / 2);
      }),
    );
  });

  it('shows about three significant digits', () => {
    expect([0.8512, 12.34, 123.4, 6543.2, undefined].map(show)).toEqual(['0.85', '12.3', '123', '6,543', '–']);
  });
});

describe('the ratio of two peers', () => {
  const results: Result[] = [
    { case: 'lines', peer: 'sluice', samples: samples(1, 4, undefined, 6) },
    { case: 'lines', peer: 'go', samples: samples(2, 4, 5, 3) },
    { case: 'echo', peer: 'go', samples: samples(100) },
  ];

  it('is the median of the ratios within each round', () => {
    // The ratios are 0.5, 1 and 2; the ratio of the medians would be 4 / 3.5.
    expect(ratioOf(results, 'lines', 'sluice', 'go')).toBe(1);
  });

  it('is undefined without a round that has both samples', () => {
    expect(ratioOf(results, 'echo', 'sluice', 'go')).toBeUndefined();
    expect(judge({ case: 'echo', peer: 'sluice', over: 'go', limit: 1 }, results).met).toBeUndefined();
  });

  it('meets a target at its limit, and misses it above', () => {
    const target = { case: 'lines', peer: 'sluice', over: 'go', limit: 1 };
    expect(judge(target, results).met).toBe(true);
    expect(judge({ ...target, limit: 0.99 }, results).met).toBe(false);
  });

  it('has targets for cases that exist, and for peers that take part in them', () => {
    for (const { case: name, peer, over } of targets) {
      const [entry] = choose('case', [...casesFor(full), valueCase], [name]);
      const able =
        entry === valueCase ? valuePeers : peers.filter(({ modes }) => modes.includes(entry?.mode ?? 'echo'));
      expect(able.map((one) => one.name)).toEqual(expect.arrayContaining([peer, over]));
    }
  });
});

describe('CPU time', () => {
  it('is read for any name of the program', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(1e6), fc.nat(1e6), (name, user, system) => {
        const line = `77 (${name}) S 1 77 77 0 -1 4194560 9 8 7 6 ${user} ${system} 0 0 20 0 11 0 12345 1 2\n`;
        expect(parseStat(line)).toBe((user + system) * 10_000);
      }),
    );
  });

  it('is not read from other text', () => {
    expect(() => parseStat('nonsense')).toThrow('Cannot read CPU time');
    expect(() => parseSchedstat('')).toThrow('Cannot read CPU time');
  });

  it('counts the nanoseconds of every thread, and those of a new thread from its start', () => {
    expect(parseSchedstat('821472 177064 2\n')).toBe(821.472);
    const before = { total: 0, threads: new Map([['1', 10]]) };
    const after = {
      total: 10_000,
      threads: new Map([
        ['1', 25],
        ['2', 4],
      ]),
    };
    expect(cpuBetween(before, after)).toBe(19);
  });

  it('is that of the whole process when a thread has ended', () => {
    const before = {
      total: 10_000,
      threads: new Map([
        ['1', 10],
        ['2', 900],
      ]),
    };
    const after = { total: 40_000, threads: new Map([['1', 25]]) };
    expect(cpuBetween(before, after)).toBe(30_000);
  });
});

describe('memory', () => {
  it('is read from either format', () => {
    expect(parseResident('5581-7fff [rollup]\nRss:               46312 kB\nPss: 1 kB\n')).toBe(46312 * 1024);
    expect(parseResident('Name:\tnode\nVmRSS:\t   4000 kB\n')).toBe(4000 * 1024);
    expect(() => parseResident('Name:\tnode\n')).toThrow('Cannot read resident memory');
  });
});

describe('latencies', () => {
  it('have the percentiles of the sorted list', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: 50 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (micros, share) => {
          const sorted = [...micros].sort((a, b) => a - b);
          const expected = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
          latencies.clear();
          for (const micro of micros) latencies.add(micro / 1000);
          expect(latencies.percentile(share)).toBe(expected);
        },
      ),
      { numRuns: 30 },
    );
  });
  const latencies = new Latencies();

  it('are rounded up to a millisecond above a second, and to a minute above that', () => {
    const percentileOf = (milliseconds: number) => {
      latencies.clear();
      latencies.add(milliseconds);
      return latencies.percentile(0.99);
    };
    expect([1000, 1000.001, 3456.5, 59_999.9, 1e6].map(percentileOf)).toEqual([1e6, 1_001_000, 3_457_000, 6e7, 6e7]);
  });
});

describe('the wire', () => {
  it('has frames of the size in the title of the case', () => {
    expect(wireOf({ mode: 'echo', protocol: 'plain' }).requestSize).toBe(64);
    expect(wireOf({ mode: 'lines', protocol: 'plain' }).requestSize).toBe(64);
    expect(wireOf({ mode: 'tls', protocol: 'plain' }).requestSize).toBe(64);
    expect(wireOf({ mode: 'tls', protocol: 'plain', size: 65_536 }).requestSize).toBe(65_536);
    expect(wireOf({ mode: 'once', protocol: 'plain' })).toEqual(wireOf({ mode: 'lines', protocol: 'plain' }));
    expect(wireOf({ mode: 'length-prefixed', protocol: 'plain' }).requestSize).toBe(4 + 1024);
  });

  it('stores the values that the GET requests of Redis ask for', () => {
    const { before, replies, replySize, frames } = wireOf({ mode: 'redis-get', protocol: 'plain' });
    const stored = before?.requests.toString().match(/(?<=\r\n\$64\r\n).{64}/g) ?? [];
    const asked = replies.toString('latin1', 0, frames * replySize).match(/(?<=\$64\r\n).{64}/g);
    expect(new Set(stored).size).toBe(frames);
    expect(asked).toEqual(stored);
    expect(before?.replies.toString()).toBe('+OK\r\n'.repeat(frames));
  });

  it('has one newline a line, and no two equal frames', () => {
    const { requests, requestSize, frames } = wireOf({ mode: 'lines', protocol: 'plain' });
    const lines = requests.toString().split('\n').slice(0, frames);
    expect(new Set(lines).size).toBe(frames);
    expect(lines.every((line) => line.length === requestSize - 1)).toBe(true);
  });
});

describe('options', () => {
  it('have the effort of the full or the quick run, except where an option replaces it', () => {
    expect(readOptions([], 'home').effort).toEqual(full);
    expect(readOptions(['--quick', '--starts', '3'], 'home').effort).toEqual({ ...quick, starts: 3 });
    expect(readOptions(['--held', '7', '--idle', '9'], 'home').effort).toEqual({ ...full, held: 7, idle: 9 });
  });

  it('write files without --out only for a full run', () => {
    expect(readOptions([], 'home').out).toBe('home');
    expect(readOptions(['--quick'], 'home').out).toBeUndefined();
    expect(readOptions(['--case', 'echo'], 'home').out).toBeUndefined();
    expect(readOptions(['--case', 'echo', '--out', 'there'], 'home').out).toBe('there');
  });

  it('have a release of Node only if it is named', () => {
    expect(readOptions([], 'home').node).toBeUndefined();
    expect(readOptions(['--node', '26'], 'home').node).toBe('26');
  });

  it('are all described by --help, as are all cases and peers', () => {
    const words = usage.split(/[\s,]+/);
    const names = [...casesFor(full), valueCase, ...peers].map(({ name }) => name);
    expect(words).toEqual(expect.arrayContaining([...names, '--node', '--held', '--idle']));
  });

  it('reject values that are out of range, and options and peers that do not exist', () => {
    expect(() => readOptions(['--rounds', '0'], 'home')).toThrow(RangeError);
    expect(() => readOptions(['--loud'], 'home')).toThrow(TypeError);
    expect(() => choose('peer', peers, ['go', 'fortran'])).toThrow('There is no peer "fortran"');
  });
});

describe('the Node of the servers', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bench-node-'));
  });
  afterAll(() => rm(folder, { recursive: true }));
  afterEach(() => vi.unstubAllEnvs());

  it('is that of the bench, or the program with the given path', async () => {
    const own = { path: process.execPath, version: process.version };
    expect(await nodeFor()).toEqual(own);
    expect(await nodeFor(process.execPath, folder)).toEqual(own);
  });

  it('is a release that was installed before, without asking npm', async () => {
    vi.stubEnv('PATH', folder);
    const name = `node-${process.platform}-${process.arch}`;
    const path = join(folder, 'node-26.1', 'node_modules', name, 'bin/node');
    await mkdir(dirname(path), { recursive: true });
    await symlink(process.execPath, path);
    expect(await nodeFor('26.1', folder)).toEqual({ path, version: process.version });
  });

  it('is refused in a sentence if it is not a Node program, or cannot be installed', async () => {
    await expect(nodeFor('/bin/sh', folder)).rejects.toThrow('"/bin/sh" is not a Node program');
    vi.stubEnv('PATH', folder);
    await expect(nodeFor('26', folder)).rejects.toThrow('npm cannot install Node 26');
  });

  it('runs the servers in JavaScript, and is named in their versions', async () => {
    const node = { path: '/somewhere/node', version: 'v99.1.2' };
    const build = (name: string) => choose('peer', peers, [name])[0]?.build(node);
    expect(await build('net')).toMatchObject({ command: [node.path, expect.any(String)], version: 'node v99.1.2' });
    expect(await build('rxjs')).toMatchObject({ version: expect.stringMatching(/^rxjs .*, node v99\.1\.2$/) });
  });
});

describe('the limit of descriptors', () => {
  it('is compared with the connections of each case', async () => {
    await checkDescriptors([{ name: 'small', connections: 1 }]);
    const large = { name: 'large', connections: 2 ** 40 };
    await expect(checkDescriptors([large])).rejects.toThrow('The case large has 1099511627776 connections');
  });
});

describe('reports', () => {
  it('align the columns of a table', () => {
    expect(
      table(
        ['a', 'number'],
        [
          ['long name', '1'],
          ['b', '1,234'],
        ],
      ),
    ).toBe('| a         | number |\n| --------- | -----: |\n| long name |      1 |\n| b         |  1,234 |');
  });

  it('have the CPU time of a second only in a case with a fixed rate', () => {
    const figures = { figure: 20, count: 100, rate: 15_000, p50: 300, p99: 900 };
    const rows = (sample: Sample) => {
      const [held] = choose('case', casesFor(full), ['held']);
      return held && caseTable(held, [{ case: 'held', peer: 'c', samples: [sample] }], peers).split('\n')[0];
    };
    expect(rows({ ...figures, busy: 300 })).toContain('| ms CPU / s |');
    expect(rows(figures)).not.toContain('ms CPU / s');
  });

  it('draw well-formed SVG with a bar for every figure, for any names of servers', () => {
    const results: Result[] = [
      { case: 'lines', peer: 'sluice', samples: samples(1) },
      { case: 'lines', peer: 'a&b', samples: samples(100) },
      { case: 'echo', peer: 'sluice', samples: samples(undefined) },
      { case: 'idle', peer: 'c', samples: samples(-3) },
    ];
    const odd = { name: 'a&b', title: '<A & "B">', modes: [], protocol: 'plain' as const, build: fail };
    const svg = chart(casesFor(full), results, [...peers, odd]);
    expect(unclosed(svg)).toEqual([]);
    expect(svg.match(/class="bar/g)).toHaveLength(3);
    expect(svg.match(/class="bar ours/g)).toHaveLength(1);
    expect(svg).toContain('&lt;A &amp; &quot;B&quot;&gt;');
    expect(svg).not.toMatch(/NaN|undefined|width="-/);
    expect(svg).toContain('prefers-color-scheme: dark');
  });
});

// These specs read /proc, as the bench does.
describe.runIf(existsSync('/proc/self/stat'))('a run', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bench-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('measures two servers and writes the results', async () => {
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const program = ['--import', 'tsx', 'demos/bench/index.ts'];
    const few = ['--quick', '--case', 'lines', '--peer', 'net,net-corked', '--warm', '100', '--duration', '50'];
    const { stdout } = await promisify(execFile)(process.execPath, [...program, ...few, '--out', folder], {
      cwd: root,
    });
    expect(stdout).toContain('node:net, corked by hand');
    const found = JSON.parse(await readFile(join(folder, 'results.json'), 'utf8'));
    expect(found.failures).toEqual([]);
    expect(found.results.map((result: Result) => result.peer)).toEqual(['net', 'net-corked']);
    for (const { samples: taken } of found.results as Result[]) {
      expect(taken).toHaveLength(3);
      expect(taken[0]?.figure).toBeGreaterThan(0.05);
      expect(taken[0]?.figure).toBeLessThan(1000);
      expect(taken[0]?.count).toBeGreaterThan(100);
    }
    expect(await readFile(join(folder, 'RESULTS.md'), 'utf8')).toContain(stdout.trim());
    expect(unclosed(await readFile(join(folder, 'results.svg'), 'utf8'))).toEqual([]);
  });
});

describe.runIf(existsSync('/proc/self/stat'))('a load', () => {
  let builds: Builds;
  beforeAll(async () => {
    builds = await buildAll(peers.filter(({ modes }) => modes.includes('once') || modes.includes('tls')));
  });

  it.each([
    ['lines', 'sends different bytes', louder],
    ['lines', 'sends more bytes', twice],
    ['lines', 'swaps two lines', swapped],
    ['connect', 'sends more bytes', twice],
    ['connect-server-first', 'sends different bytes', louder],
    ['burst', 'sends different bytes', louder],
    ['held', 'sends different bytes', louder],
    ['tls-echo', 'sends different bytes', louder],
    ['tls-bulk', 'sends more bytes', twice],
    ['tls-handshake', 'sends different bytes', louder],
  ])('of the case %s fails when a server %s', async (name, _, reply) => {
    const measuring = measure(name, (socket) => socket.on('data', (bytes) => socket.write(reply(bytes))));
    await expect(measuring).rejects.toThrow('Wrong reply');
  });

  it.each(['connect', 'connect-server-first', 'connect-rst', 'tls-handshake', 'burst', 'held'])(
    'of the case %s fails when a server closes a connection before its reply',
    async (name) => {
      const measuring = measure(name, (socket) => socket.on('data', () => socket.end()));
      await expect(measuring).rejects.toThrow('The server closed a connection');
    },
  );

  it('of the case connect fails when a server closes a connection with a RST', async () => {
    const measuring = measure('connect', (socket) => {
      socket.on('data', (bytes) => socket.write(bytes));
      // Not earlier: a client may not see a RST that arrives together with the reply.
      socket.on('end', () => socket.resetAndDestroy());
    });
    await expect(measuring).rejects.toThrow('ECONNRESET');
  });

  it.each(['burst', 'held'])('of the case %s measures the same number of requests on each connection', async (name) => {
    const { count, p99 } = await measure(name, (socket) => socket.on('data', (bytes) => socket.write(bytes)));
    expect([count > 0, count % few]).toEqual([true, 0]);
    expect(p99).toBeGreaterThan(0);
  });

  it.for(peers.filter(({ modes }) => modes.includes('once')).map(({ name }) => name))(
    'is answered by the server %s, whichever side closes first',
    async (name, { skip }) => {
      await answered(name, skip, 'echo', ['connect', 'connect-rst', 'burst']);
      await answered(name, skip, 'once', ['connect-server-first']);
    },
  );

  it.for(peers.filter(({ modes }) => modes.includes('tls')).map(({ name }) => name))(
    'is answered by the server %s over TLS',
    async (name, { skip }) => {
      await answered(name, skip, 'tls', ['tls-echo', 'tls-bulk', 'tls-handshake']);
    },
  );

  async function answered(
    name: string,
    skip: (is: boolean, why?: string) => void,
    mode: Mode,
    cases: readonly string[],
  ): Promise<void> {
    const runner = builds.runners.find(({ peer }) => peer.name === name);
    skip(runner === undefined && process.env.CI === undefined, builds.absent[name]);
    if (runner === undefined) throw new Error(`${name} cannot run, and CI needs it: ${builds.absent[name]}`);
    const { pid, port, stop } = await startServer(runner.program, mode);
    try {
      for (const entry of cases) {
        const { count } = await measureOn(entry, { protocol: 'plain', port, pid });
        expect(count).toBeGreaterThan(0);
      }
    } finally {
      await stop();
    }
  }
});

const few = 20;

/** A measurement of this case, with few connections, against a server in this process. */
async function measure(name: string, serve: (socket: Socket) => void): Promise<Sample> {
  const begin = (socket: Socket) => serve(socket.on('error', () => socket.destroy()));
  const isSecure = choose('case', casesFor(quick), [name])[0]?.mode === 'tls';
  const server = isSecure ? createTlsServer(await selfSigned({}), begin) : createServer(begin);
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    return await measureOn(name, { protocol: 'plain', port, pid: process.pid });
  } finally {
    server.close();
  }
}

async function measureOn(name: string, server: Pick<Job, 'protocol' | 'port' | 'pid'>): Promise<Sample> {
  const [entry] = choose('case', casesFor(quick), [name]);
  if (entry === undefined) throw new Error(`There is no case ${name}`);
  const load = await LoadProcess.start({ ...jobFor(entry, quick, server), connections: few });
  try {
    return await load.measure(50);
  } finally {
    await load.stop();
  }
}

const louder = (bytes: Buffer) => String(bytes).toUpperCase();
const twice = (bytes: Buffer) => Buffer.concat([bytes, bytes]);

function swapped(bytes: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(64, 128), bytes.subarray(0, 64), bytes.subarray(128)]);
}

async function fail(): Promise<never> {
  throw new Error('This peer cannot be built');
}

/** Tags of an XML text that are not closed in order, and each remaining `<`, `>` and `&`. */
function unclosed(xml: string): string[] {
  const open: string[] = [];
  const rest = xml.replace(/<(\/?)([a-z]+)((?:\s[a-zA-Z:-]+="[^"<&]*")*)(\/?)>/g, (_, closing, name, __, empty) => {
    if (closing) expect(open.pop()).toBe(name);
    else if (!empty) open.push(name);
    return '';
  });
  return [...open, ...(rest.replace(/&(?:amp|lt|gt|quot);/g, '').match(/[<>&]/g) ?? [])];
}
