import { setTimeout as pause } from 'node:timers/promises';
import { authority, type KeyType } from '../../../spec/support/certificates.ts';
import { Child } from './child.ts';
import { Crowd } from './crowd.ts';
import { atMost, exactly, type Finding, type Soak } from './measure.ts';
import { Paces } from './secureClients.ts';

/** Many handshakes begin at once. Connections that were secured before are served meanwhile. */
async function storm(type: KeyType, count: number, calm: number): Promise<Finding[]> {
  const root = await authority();
  const child = await Child.start('echo', {
    tls: await root.issue({ type }),
    waiting: { max: count },
    // The peers connect some seconds before their handshakes begin.
    handshake: 60_000,
  });
  return await child.apart(async () => {
    const paces = await Paces.start({ port: child.port, ca: root.ca }, 20, 20);
    const crowd = await Crowd.start('storm', child.port, count);
    await pause(calm);
    paces.take();
    await pause(calm);
    const before = paces.take();
    const begun = performance.now();
    crowd.begin();
    const { failed } = await crowd.until(({ there, failed }) => there + failed === count, 30_000, 'all are served');
    const took = performance.now() - begun;
    const during = paces.take();
    const { lost } = paces;
    paces.stop();
    await Promise.all([crowd.stop(), child.stop()]);
    const what = `${type}, ${count} handshakes in ${(took / 1000).toFixed(1)} s`;
    return [
      exactly(`${what}: connections that were closed, and clients that were not served`, [lost, failed], [0, 0]),
      atMost(
        `${what}: a round trip of an old connection, p99 of ${during.count} (before: ${before.p99.toFixed(1)} ms, p50 ${during.p50.toFixed(1)} ms, longest ${during.max.toFixed(0)} ms)`,
        during.p99,
        // On a busy machine a round trip takes long without the storm, too.
        Math.max(5 * before.p99, 100),
        'ms',
      ),
    ];
  });
}

export const handshakeStorm: Soak = {
  name: 'handshake-storm',
  async run({ quick }) {
    const count = quick ? 500 : 2000;
    const calm = quick ? 500 : 2000;
    return [...(await storm('ecdsa', count, calm)), ...(await storm('rsa', count, calm))];
  },
};
