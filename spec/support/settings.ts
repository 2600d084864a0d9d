import { AsyncResource } from 'node:async_hooks';
import { LivenessPoller } from '../../lib/connection/livenessPoller.ts';
import { MemoryBudget } from '../../lib/connection/memoryBudget.ts';
import type { ConnectionSettings } from '../../lib/connection/settings.ts';
import { monotonic } from '../../lib/time/monotonic.ts';
import { HandshakeQueue } from '../../lib/tls/handshakeQueue.ts';
import { HANDSHAKE, serverUpgrades } from '../../lib/tls/upgrades.ts';

/** Settings of a connection. Those that a spec does not give are as `listen` has them. */
export const settings = (some: Partial<ConnectionSettings> = {}): ConnectionSettings => ({
  clock: monotonic,
  halfOpen: true,
  linger: 1000,
  stall: 10_000,
  pace: { in: 0, out: 0, grace: 10_000 },
  highWaterMark: 64 * 1024,
  maxOutbound: 1024 * 1024,
  overrun: 'disconnect',
  budget: new MemoryBudget(Number.POSITIVE_INFINITY),
  livenessPoller: new LivenessPoller(),
  context: new AsyncResource('Spec'),
  upgrades: serverUpgrades(new HandshakeQueue(some.clock ?? monotonic), HANDSHAKE),
  ...some,
});
