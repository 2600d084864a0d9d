import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { netTransport, nodeTransport } from '../../lib/transport/node.ts';
import {
  type Action,
  acceptedPairs,
  type Data,
  dialledPairs,
  type Pair,
  type Source,
  type State,
} from './observedPair.ts';

/** Runs of each property: so many that by chance a quarter of them compares each part. More of them are a matter of minutes: `RUNS=5000`. */
const RUNS = Number(process.env.RUNS ?? 100);

const bytes = (length: number, from: number): Buffer => {
  const all = Buffer.alloc(length);
  for (let i = 0; i < length; i++) all[i] = (from + i) % 251;
  return all;
};

const TEXT = 'aé€😀';
const text = (length: number, from: number) => (TEXT.repeat(3) + from).repeat(Math.ceil(length / 30)).slice(0, length);

const length = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 200 }) },
  { weight: 3, arbitrary: fc.integer({ min: 1000, max: 20_000 }) },
  { weight: 2, arbitrary: fc.integer({ min: 60_000, max: 300_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1_000_000, max: 3_000_000 }) },
);

const piece = fc
  .tuple(length, fc.nat(250), fc.boolean())
  .map(([size, from, isText]) => (isText ? text(size, from) : bytes(size, from)));

const data: fc.Arbitrary<Data> = fc.oneof(piece, fc.array(piece, { maxLength: 4 })) as fc.Arbitrary<Data>;

const by = fc.constantFrom('socket' as const, 'peer' as const);

const described = (action: Action): Action =>
  Object.assign(action, {
    [fc.toStringMethod]: () => `${action.by} ${action.does}${action.does === 'write' ? ` ${sizes(action.data)}` : ''}`,
  });

const sizes = (written: Data): string =>
  typeof written === 'string' || written instanceof Uint8Array
    ? `${typeof written === 'string' ? 't' : 'b'}${written.length}`
    : `[${written.map(sizes)}]`;

const write = (end: Action['by'], written: Data): Action => described({ by: end, does: 'write', data: written });
const call = (end: Action['by'], what: 'pause' | 'resume' | 'end' | 'destroy' | 'reset'): Action =>
  described({ by: end, does: what });

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(by, data).map(([end, written]) => write(end, written)) },
  { weight: 3, arbitrary: by.map((end) => call(end, 'pause')) },
  { weight: 5, arbitrary: by.map((end) => call(end, 'resume')) },
  { weight: 2, arbitrary: by.map((end) => call(end, 'end')) },
  { weight: 1, arbitrary: by.map((end) => call(end, 'destroy')) },
  { weight: 1, arbitrary: by.map((end) => call(end, 'reset')) },
);

/** Actions of one callback. After each callback the network settles. */
const callback = fc.array(action, { minLength: 1, maxLength: 3 });

const program = fc.array(callback, { maxLength: 12 });

/** Programs that found a difference before. */
const found: [Action[][]][] = [
  // Room is reported once, after the last write.
  [[[write('socket', bytes(3_000_000, 0)), write('socket', bytes(3_000_000, 1)), call('socket', 'end')]]],
  // The second of two writes that fail is not reported.
  [[[call('peer', 'reset')], [write('socket', 'a'), write('socket', 'b')]]],
  [[[call('peer', 'pause')], [write('socket', bytes(9_000_000, 0)), write('socket', 'b')], [call('peer', 'reset')]]],
  // Nothing that Node has read follows once the socket is destroyed.
  [
    [
      [call('socket', 'resume')],
      [call('socket', 'pause'), write('peer', 'abc')],
      [call('socket', 'resume'), call('socket', 'destroy')],
    ],
  ],
  // A socket that is destroyed reports no room.
  [[[call('peer', 'pause')], [write('socket', bytes(9_000_000, 0)), call('socket', 'reset')]]],
  // The end of the input follows a write that failed in the callback that resumed the socket.
  [[[write('peer', 'abc')], [call('peer', 'reset')], [call('socket', 'resume'), write('socket', 'a')]]],
];

/** Which parts of the outcome are determined. The others depend on what the kernel does first. */
interface Determined {
  /** The bytes that the socket received, and what its handler is notified of about its input. */
  input: boolean;
  /** What the handler is notified of about the output. */
  output: boolean;
  /** How many bytes the socket has written, and how many of them are pending. */
  figures: boolean;
  /** The bytes that the peer received, and its events. */
  peer: boolean;
}

/** What is no longer determined after an action. `start` is the state when its callback began. */
function judge(pair: Pair, start: State, callback: readonly Action[], action: Action): Partial<Determined> {
  const { by: end, does: what } = action;
  const closes = what === 'destroy' || what === 'reset';
  if (end === 'socket') {
    // A handle that is paused has not noticed a RST before our FIN.
    if (what === 'end' && pair.peerClosedBy) return { output: false };
    // A peer that is closed answers with a RST, which discards what the kernel holds. Which write fails depends on its arrival.
    if (what === 'write' && pair.peerClosedBy) return { output: false, figures: false, input: pair.isInputOver };
    if (!closes || pair.closedBy || pair.isFreed) return {};
    return {
      // A `net.Socket` that is paused may notice a FIN or a RST, the handle does not.
      input: !start.isPaused || !(start.hasPeerEnded || start.peerClosedBy),
      // If the peer is paused, the FIN may wait for room.
      output: !start.isPeerPaused || !start.hasEnded,
      figures: false,
      // What is unsent is dropped. What is unread makes the kernel send a RST.
      peer: callback.length === 1 && !start.isPeerPaused && ((what === 'reset' && pair.isTcp) || !start.isPaused),
    };
  }
  if (what === 'write' && pair.closedBy) return { peer: false };
  if (!closes || pair.peerClosedBy || pair.peer.destroyed) return {};
  const isFin = what === 'destroy' || !pair.isTcp;
  const hasSentAll = callback.length === 1 && pair.peer.writableLength === 0;
  const hasReadAll = callback.length === 1 && !start.isPeerPaused;
  return {
    // After a RST, a `net.Socket` that is paused loses what Node has read, and the handle reads what the kernel holds.
    input: hasSentAll && (isFin ? hasReadAll : !start.isPaused),
    output: !start.isPeerPaused && callback.length === 1,
    figures: !start.isPeerPaused && callback.length === 1,
    peer: !start.isPeerPaused || !(start.hasEnded || start.closedBy),
  };
}

/** Runs a program, and checks what must hold of each transport alone. */
async function run(pair: Pair, callbacks: readonly (readonly Action[])[]) {
  const determined: Determined = { input: true, output: true, figures: true, peer: true };
  const perform = async (...actions: readonly Action[]) => {
    const start = pair.state;
    for (const action of actions) {
      for (const [part, is] of Object.entries(judge(pair, start, actions, action)))
        if (!is) determined[part as keyof Determined] = false;
      pair.do(action);
    }
    await pair.settle();
    check(pair);
  };
  await pair.settle();
  for (const callback of callbacks) await perform(...callback);
  await perform({ by: 'socket', does: 'resume' }, { by: 'peer', does: 'resume' });
  const { pending, bytesWritten } = pair.socket;
  if (pair.hasWriteFailed || pair.peer.destroyed) await perform({ by: 'socket', does: 'destroy' });
  await perform({ by: 'socket', does: 'end' }, { by: 'peer', does: 'end' });
  if (!pair.peer.destroyed) await perform({ by: 'peer', does: 'destroy' });
  expect(pair.isFreed).toBe(true);
  expect(pair.peerEvents.at(-1)).toBe('close');
  expect(pair.broken).toEqual([]);
  expect(pair.input.join()).toMatch(/^(peerEnded,|failed ECONNRESET,)?freed$/);
  expect(pair.output.join()).toMatch(/^(finished,?)?(writeFailed (EPIPE|ECONNRESET))?$/);
  expect(isPrefix(pair.received, pair.peerWritten)).toBe(true);
  expect(isPrefix(pair.peerReceived, pair.written)).toBe(true);
  // If nothing was cut short, everything arrived.
  if (!pair.closedBy && !pair.peerClosedBy)
    expect(pair.count).toMatchObject({ received: pair.count.peerWritten, peerReceived: pair.count.written });
  const { input, output, peerEvents, count } = pair;
  const outcome = {
    input: [count.received, ...input],
    output,
    figures: { pending, bytesWritten },
    peer: [count.peerReceived, ...peerEvents],
  };
  return { outcome, determined };
}

/** What holds at any moment, of each transport alone. */
function check(pair: Pair): void {
  const { socket, count, broken } = pair;
  if (broken.length > 0) expect(broken).toEqual([]);
  const { pending, bytesWritten, alive } = socket;
  // After both FINs the kernel no longer knows the peer.
  const mayBeOver = pair.isFreed || pair.closedBy || pair.peerClosedBy || (pair.hasEnded && pair.hasPeerEnded);
  if (pair.isTcp && !mayBeOver) expect(alive).toBe(true);
  if (!(pending >= 0 && pending <= bytesWritten)) expect({ pending, bytesWritten }).toBe('figures');
  // A write that fails at once is not counted. Of several writes in flight, a closed `net.Socket` counts only the first.
  if (!pair.hasWriteFailed && !pair.peerClosedBy) pair.counted = count.written;
  if (pair.hasWrittenAhead && (pair.closedBy || pair.isFreed || pair.hasWriteFailed)) pair.counted = 0;
  if (bytesWritten < pair.counted || bytesWritten > count.written) expect(bytesWritten).toBe(count.written);
  if (count.peerReceived > bytesWritten - pending) expect({ pending, bytesWritten, ...count }).toBe('figures');
}

const isPrefix = (part: Buffer, whole: Buffer) => part.equals(whole.subarray(0, part.length));

// Whatever transport the environment chooses for the other specs: otherwise net might be compared with itself.
beforeAll(() => void vi.stubEnv('SLUICE_TRANSPORT', 'handle'));
afterAll(() => void vi.unstubAllEnvs());

describe.each([
  ['accepted', 'TCP', acceptedPairs, false],
  ['accepted', 'unix', acceptedPairs, true],
  ['dialled', 'TCP', dialledPairs, false],
  ['dialled', 'unix', dialledPairs, true],
] as const)('%s sockets, %s', (_how, _kind, pairs, isUnix) => {
  let folder: string;
  let handle: Source;
  let net: Source;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-'));
    const where = (name: string) => (isUnix ? { path: join(folder, name) } : undefined);
    handle = await pairs(nodeTransport, where('handle'));
    net = await pairs(netTransport, where('net'));
  });
  afterAll(async () => {
    handle.close();
    net.close();
    await rm(folder, { recursive: true });
  });

  it('both transports behave the same, whatever both ends do', async () => {
    const compared = { input: 0, output: 0, figures: 0, peer: 0 };
    await fc.assert(
      fc.asyncProperty(program, async (callbacks) => {
        const runs = [];
        for (const source of [handle, net]) {
          const pair = await source.next();
          // The buffer of a handle is shared, also the one into which TLS decrypts.
          expect(pair.socket.borrows).toBe(source === handle);
          try {
            runs.push(await run(pair, callbacks));
          } catch (error) {
            throw new Error(`${source === handle ? 'handle' : 'net'}: ${pair}: ${error}`);
          } finally {
            pair.socket.destroy();
            pair.peer.destroy();
          }
        }
        const [ofHandle, ofNet] = runs;
        if (!ofHandle || !ofNet) return expect.unreachable();
        for (const part of ['input', 'output', 'figures', 'peer'] as const) {
          if (!ofHandle.determined[part] || !ofNet.determined[part]) continue;
          compared[part]++;
          expect(ofHandle.outcome[part]).toEqual(ofNet.outcome[part]);
        }
      }),
      { numRuns: RUNS, examples: found, endOnFailure: process.env.CI !== undefined },
    );
    // Otherwise the transports might agree only because nothing is compared.
    for (const [part, times] of Object.entries(compared)) expect(times, part).toBeGreaterThan(RUNS / 4);
  });
});
