import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAll } from '../../demos/bench/build.ts';
import { casesFor, full, jobFor, quick } from '../../demos/bench/cases.ts';
import type { Sample } from '../../demos/bench/load/job.ts';
import { Latencies } from '../../demos/bench/load/latency.ts';
import { wireOf } from '../../demos/bench/load/wire.ts';
import { choose, readOptions } from '../../demos/bench/options.ts';
import { peers } from '../../demos/bench/peers.ts';
import { cpuBetween, parseSchedstat, parseStat } from '../../demos/bench/proc/cpu.ts';
import { LoadProcess } from '../../demos/bench/proc/load.ts';
import { parseResident } from '../../demos/bench/proc/memory.ts';
import { chart } from '../../demos/bench/report/chart.ts';
import { median, show } from '../../demos/bench/report/numbers.ts';
import { table } from '../../demos/bench/report/table.ts';
import type { Result } from '../../demos/bench/rounds.ts';
import { judge, ratioOf, targets } from '../../demos/bench/targets.ts';
import { valueCase } from '../../demos/bench/values.ts';

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

  it('has targets for cases that exist', () => {
    const names = [...casesFor(full), valueCase].map(({ name }) => name);
    for (const target of targets) expect(names).toContain(target.case);
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
});

describe('the wire', () => {
  it('has frames of the size in the title of the case', () => {
    expect(wireOf({ mode: 'echo', protocol: 'plain' }).requestSize).toBe(64);
    expect(wireOf({ mode: 'lines', protocol: 'plain' }).requestSize).toBe(64);
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
  });

  it('write files without --out only for a full run', () => {
    expect(readOptions([], 'home').out).toBe('home');
    expect(readOptions(['--quick'], 'home').out).toBeUndefined();
    expect(readOptions(['--case', 'echo'], 'home').out).toBeUndefined();
    expect(readOptions(['--case', 'echo', '--out', 'there'], 'home').out).toBe('there');
  });

  it('reject values that are out of range, and options and peers that do not exist', () => {
    expect(() => readOptions(['--rounds', '0'], 'home')).toThrow(RangeError);
    expect(() => readOptions(['--loud'], 'home')).toThrow(TypeError);
    expect(() => choose('peer', peers, ['go', 'fortran'])).toThrow('There is no peer "fortran"');
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

  it.each([
    [
      'sends different bytes',
      (socket: Socket) => socket.on('data', (bytes) => socket.write(String(bytes).toUpperCase())),
    ],
    ['sends more bytes', (socket: Socket) => socket.on('data', (bytes) => socket.write(`${bytes}${bytes}`))],
    ['swaps two lines', (socket: Socket) => socket.on('data', (bytes) => socket.write(swapped(bytes)))],
  ])('fails when a server %s', async (_, answer) => {
    await buildAll([]);
    const server = createServer((socket) => answer(socket.on('error', () => socket.destroy())));
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const [lines] = choose('case', casesFor(quick), ['lines']);
      if (lines === undefined) throw new Error('There is no case lines');
      const job = jobFor(lines, quick, { protocol: 'plain', port, pid: process.pid });
      const load = await LoadProcess.start(job);
      await expect(load.measure(300)).rejects.toThrow('Wrong reply');
    } finally {
      server.close();
    }
  });
});

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
