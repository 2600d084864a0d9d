import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { SecureHandleSocket } from '../../lib/tls/secureHandleSocket.ts';
import { nodeTransport } from '../../lib/transport/node.ts';
import { handles } from '../../lib/transport/nodeInternals.ts';
import { type Action, type Data, Pair } from '../transport/observedPair.ts';
import { accepted, dialled } from './securePair.ts';

/** Runs of each property: `RUNS=2000` takes minutes. */
const RUNS = Number(process.env.RUNS ?? 40);

const length = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 200 }) },
  // About the length of a record, and of several.
  { weight: 4, arbitrary: fc.integer({ min: 16_300, max: 16_500 }) },
  { weight: 2, arbitrary: fc.constantFrom(16_384, 32_768, 65_536) },
  { weight: 2, arbitrary: fc.integer({ min: 60_000, max: 300_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1_000_000, max: 3_000_000 }) },
);

const piece = fc
  .tuple(length, fc.nat(250), fc.boolean())
  .map(([size, from, isText]) =>
    isText ? 'aé€😀'.repeat(size / 5 + 1).slice(0, size) : Buffer.alloc(size).map((_, i) => (from + i) % 251),
  );

const data = fc.oneof(piece, fc.array(piece, { maxLength: 4 })) as fc.Arbitrary<Data>;
const by = fc.constantFrom('socket' as const, 'peer' as const);
const call = (does: 'pause' | 'resume' | 'end' | 'destroy' | 'reset') => by.map((end): Action => ({ by: end, does }));

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.tuple(by, data).map(([end, written]): Action => ({ by: end, does: 'write', data: written })),
  },
  { weight: 3, arbitrary: call('pause') },
  { weight: 5, arbitrary: call('resume') },
  { weight: 2, arbitrary: call('end') },
  { weight: 1, arbitrary: call('destroy') },
  { weight: 1, arbitrary: call('reset') },
);

/** Actions of several callbacks. After each callback the network settles. */
const program = fc.array(fc.array(action, { minLength: 1, maxLength: 3 }), { maxLength: 10 });

const isPrefix = (part: Buffer, whole: Buffer) => part.equals(whole.subarray(0, part.length));

async function run(pair: Pair, callbacks: readonly (readonly Action[])[]) {
  const perform = async (...actions: readonly Action[]) => {
    for (const one of actions) pair.do(one);
    await pair.settle();
    expect(pair.broken).toEqual([]);
    const { pending, bytesWritten } = pair.socket;
    const { written, peerReceived } = pair.count;
    if (pending < 0 || pending > bytesWritten || bytesWritten > written)
      expect({ pending, bytesWritten }).toBe('figures');
    if (peerReceived > bytesWritten - pending) expect({ pending, bytesWritten, peerReceived }).toBe('figures');
  };
  await pair.settle();
  for (const callback of callbacks) await perform(...callback);
  await perform({ by: 'socket', does: 'resume' }, { by: 'peer', does: 'resume' });
  if (pair.hasWriteFailed || pair.peer.destroyed) await perform({ by: 'socket', does: 'destroy' });
  await perform({ by: 'socket', does: 'end' }, { by: 'peer', does: 'end' });
  if (!pair.peer.destroyed) await perform({ by: 'peer', does: 'destroy' });
  expect(pair.isFreed).toBe(true);
  expect(pair.input.join()).toMatch(/^(peerEnded,|failed ECONNRESET,)?freed$/);
  expect(pair.output.join()).toMatch(/^(finished,?)?(writeFailed (EPIPE|ECONNRESET))?$/);
  expect(isPrefix(pair.received, pair.peerWritten)).toBe(true);
  expect(isPrefix(pair.peerReceived, pair.written)).toBe(true);
  // If nothing was cut short, everything arrived.
  if (!pair.closedBy && !pair.peerClosedBy)
    expect(pair.count).toMatchObject({ received: pair.count.peerWritten, peerReceived: pair.count.written });
}

// Whatever transport the environment chooses for the other specs.
beforeAll(() => void vi.stubEnv('SLUICE_TRANSPORT', 'handle'));
afterAll(() => void vi.unstubAllEnvs());

describe.each([
  ['accepted', accepted],
  ['dialled', dialled],
] as const)('a TLS socket on handles, %s', (_kind, pairOf) => {
  it.runIf(handles())('keeps the contract of a transport, whatever both ends do', async () => {
    await fc.assert(
      fc.asyncProperty(program, async (callbacks) => {
        const { socket, peer, raw } = await pairOf(nodeTransport);
        expect(socket).toBeInstanceOf(SecureHandleSocket);
        peer.resetAndDestroy = () => {
          raw.resetAndDestroy();
          return peer;
        };
        raw.on('error', () => {});
        const pair = new Pair(socket, true).with(peer);
        try {
          await run(pair, callbacks);
        } catch (error) {
          throw new Error(`${pair}: ${error}`);
        } finally {
          socket.destroy();
          peer.destroy();
          raw.destroy();
        }
      }),
      { numRuns: RUNS, endOnFailure: process.env.CI !== undefined },
    );
  });
});
