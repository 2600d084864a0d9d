import { setTimeout as pause } from 'node:timers/promises';
import { authority } from '../../../spec/support/certificates.ts';
import { Child } from './child.ts';
import { Crowd } from './crowd.ts';
import { atMost, exactly, percentiles, type Soak } from './measure.ts';
import { Paces, Visitors } from './secureClients.ts';

/** Peers that connect and send nothing, and as many that stop in the middle of the handshake. Other clients are served. */
export const silentHandshakes: Soak = {
  name: 'silent-handshakes',
  async run({ quick }) {
    const count = quick ? 300 : 1000;
    const handshake = quick ? 3000 : 10_000;
    const root = await authority();
    const tls = await root.issue();
    const child = await Child.start('echo', { tls, handshake, waiting: { max: 3000 } });
    const client = { port: child.port, ca: root.ca };
    return await child.apart(async () => {
      const paces = await Paces.start(client, 20, 20);
      const visitors = new Visitors(client, 50);
      await pause(quick ? 1000 : 3000);
      const calm = { old: paces.take(), fresh: percentiles(visitors.times.splice(0)) };
      const [silent, halfway] = await Promise.all([
        Crowd.start('silent', child.port, count),
        Crowd.start('halfway', child.port, count),
      ]);
      const areGone = ({ gone }: { gone: number }) => gone === count;
      const reports = await Promise.all(
        [silent, halfway].map((crowd) => crowd.until(areGone, handshake + 30_000, 'all are gone')),
      );
      await visitors.stop();
      const old = paces.take();
      const fresh = percentiles(visitors.times);
      const { lost } = paces;
      const { refused } = await child.ask();
      paces.stop();
      await Promise.all([silent.stop(), halfway.stop(), child.stop()]);
      const shortest = Math.min(...reports.map(({ lives }) => lives[0]));
      const longest = Math.max(...reports.map(({ lives }) => lives[1]));
      return [
        exactly('refused, by reason', refused, { 'deadline: handshake': 2 * count }),
        exactly('gone before the deadline', shortest < handshake, false),
        atMost('the last is gone after the deadline by', longest - handshake, 1000, 'ms'),
        exactly('connections that were closed, and clients that were not served', [lost, visitors.errors], [0, []]),
        atMost(
          `a round trip of an old connection, p99 of ${old.count}`,
          old.p99,
          Math.max(5 * calm.old.p99, 250),
          'ms',
        ),
        atMost(
          `a new connection with a request, p99 of ${visitors.times.length} (before: ${calm.fresh.p99.toFixed(0)} ms)`,
          fresh.p99,
          Math.max(5 * calm.fresh.p99, 250),
          'ms',
        ),
      ];
    });
  },
};
