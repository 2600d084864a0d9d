import { ignoreElements, map, of } from 'rxjs';
import { afterEach, expect, it, vi } from 'vitest';
import {
  delimited,
  encodeLengthPrefixed,
  exchange,
  type Handler,
  inPlace,
  json,
  lengthPrefixed,
  lines,
  serve,
} from '../../lib/index.ts';
import { MemoryNetwork } from '../../lib/testing/index.ts';
import { iteration } from '../support/clock.ts';

/** The time that a slow handler takes for a frame, in milliseconds. */
const SLOW = 20;
const FRAMES = 100;

afterEach(() => vi.restoreAllMocks());

/** The time, which only work advances. */
let now = 0;
let done = 0;
/** Whether the work for a frame takes no time. */
let isQuick = (_frame: number) => false;

function work<T>(value: T): T {
  if (!isQuick(done)) now += SLOW;
  done++;
  return value;
}

const text = (count: number, frame = 'a\n') => frame.repeat(count);
const prefixed = () => Buffer.concat(Array.from({ length: FRAMES }, () => encodeLengthPrefixed()(Buffer.from('a'))));

type Input = string | Uint8Array | readonly Uint8Array[];

const ways: [string, Handler, Input][] = [
  ['lines', (c) => c.pipe(lines(), map(work)), text(FRAMES)],
  ['delimited', (c) => c.pipe(delimited(';'), map(work)), text(FRAMES, 'a;')],
  ['json', (c) => c.pipe(json(), map(work), map(String)), text(FRAMES, '{}\n')],
  ['lengthPrefixed', (c) => c.pipe(lengthPrefixed(), map(work)), prefixed()],
  ['an exchange', exchange(lines(), work), text(FRAMES)],
  ['an exchange of promises', exchange(lines(), async (line) => work(line)), text(FRAMES)],
  ['an exchange of several promises', exchange(lines(), async (line) => work(line), { concurrency: 4 }), text(FRAMES)],
  ['an exchange of Observables', exchange(lines(), (line) => of(line).pipe(map(work))), text(FRAMES)],
  [
    'a loop over frames',
    async (c) => {
      for await (const _line of c.pipe(lines())) work(undefined);
    },
    text(FRAMES),
  ],
  [
    'in place',
    (c) => c.pipe(inPlace(work), ignoreElements()),
    Array.from({ length: FRAMES }, () => Buffer.alloc(65_536)),
  ],
  [
    'a generator',
    function* () {
      for (let left = FRAMES; left > 0; left--) yield work('a');
    },
    '',
  ],
  [
    'an async generator',
    async function* () {
      for (let left = FRAMES; left > 0; left--) yield work('a');
    },
    '',
  ],
];

/** Serves one client, and counts the frames of each event-loop iteration. */
async function iterations(handler: Handler, input: Input): Promise<number[]> {
  await iteration();
  done = 0;
  now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  const network = new MemoryNetwork();
  const server = serve({ port: 0 }, handler, { transport: network.transport, idle: 1e9, greeting: 1e9, frame: 1e9 });
  const subscription = server.subscribe();
  const client = network.connect();
  for (const chunk of Array.isArray(input) ? input : [input]) client.write(chunk);
  const counts: number[] = [];
  for (let before = 0; done < FRAMES; before = done) {
    await new Promise((resolve) => setImmediate(resolve));
    counts.push(done - before);
  }
  subscription.unsubscribe();
  return counts.filter((count) => count > 0);
}

it.each(ways)(
  '%s: a slow handler handles at most two frames before it yields to other connections',
  async (_what, handler, input) => {
    isQuick = () => false;
    expect(Math.max(...(await iterations(handler, input)))).toBeLessThanOrEqual(2);
  },
);

it.each(ways.slice(0, 9))(
  '%s: at most eight slow frames after quick ones are handled before it yields',
  async (_what, handler, input) => {
    isQuick = (frame) => frame < FRAMES / 2;
    const [first = 0, ...others] = await iterations(handler, input);
    expect(first).toBeLessThanOrEqual(FRAMES / 2 + 8);
    expect(Math.max(...others)).toBeLessThanOrEqual(2);
  },
);

it.each(ways.slice(0, 5))(
  '%s: quick frames of one chunk are emitted in one event-loop iteration',
  async (_what, handler, input) => {
    isQuick = () => true;
    expect(await iterations(handler, input)).toEqual([FRAMES]);
  },
);
