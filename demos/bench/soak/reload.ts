import { X509Certificate } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { authority } from '../../../spec/support/certificates.ts';
import { type Certificate, Child } from './child.ts';
import { atMost, exactly, type Soak } from './measure.ts';
import { Paces, visit } from './secureClients.ts';

/** Milliseconds from one renewal to the next. */
const INTERVAL = 100;

/** Each tenth renewal has the key of another certificate. */
const BROKEN = 10;

/** The certificate is renewed again and again, under load by old and new connections. Broken renewals change nothing. */
export const reload: Soak = {
  name: 'reload',
  async run({ quick }) {
    const renewals = quick ? 40 : 600;
    const root = await authority();
    const pairs: Certificate[] = [];
    for (let i = 0; i < 20; i++) pairs.push(await root.issue({ type: i % 4 === 3 ? 'rsa' : 'ecdsa' }));
    const pair = (i: number) => pairs[i % pairs.length] as Certificate;
    const child = await Child.start('echo', { tls: pair(0) });
    const client = { port: child.port, ca: root.ca };
    const paces = await Paces.start(client, 10, 20);
    const errors: string[] = [];
    let visits = 0;
    let resumed = 0;
    let isOver = false;
    /** One connection after the other, as fast as possible; some resume the session of the one before. */
    const visitor = async (resumes: boolean) => {
      let session: Buffer | undefined;
      const look = (socket: TLSSocket) => {
        if (socket.isSessionReused()) resumed++;
        session = socket.getSession();
      };
      while (!isOver) {
        await visit({ ...client, ...(resumes && session && { session }) }, look).catch((error) =>
          errors.push(String(error)),
        );
        visits++;
      }
    };
    const visitors = [false, false, true].map(visitor);
    /** Whether a new connection has the certificate. */
    const presents = async ({ cert }: Certificate) => {
      let found = '';
      await visit(client, (socket) => {
        found = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
      }).catch((error) => errors.push(String(error)));
      return found === new X509Certificate(cert).fingerprint256;
    };
    let others = 0;
    let broken = 0;
    let current = pair(0);
    let heap = 0;
    let next = performance.now();
    for (let i = 1; i <= renewals; i++) {
      const isBroken = i % BROKEN === 0;
      const tls = isBroken ? { cert: pair(i).cert, key: pair(i + 1).key } : pair(i);
      await child.ask({ ask: 'renew', tls });
      if (isBroken) broken++;
      else current = tls;
      if (!(await presents(current))) others++;
      if (i === Math.floor(renewals / 4)) ({ heap } = await child.ask({ ask: 'heap' }));
      next += INTERVAL;
      await pause(Math.max(0, next - performance.now()));
    }
    isOver = true;
    await Promise.all(visitors);
    const { lost } = paces;
    const { count } = paces.take();
    paces.stop();
    await pause(200);
    const { faults, certificates, refused, heap: after } = await child.ask({ ask: 'heap' });
    await child.stop();
    const served = `${visits} new connections, of which ${resumed} resumed, and ${count} requests of old ones`;
    return [
      exactly(`errors, and old connections that were closed, of ${served}`, [errors, lost, refused], [[], 0, {}]),
      exactly('sessions are resumed across renewals', resumed > 0, true),
      exactly('new connections with another certificate than the last good one', others, 0),
      exactly('events: certificate, failed', [certificates, faults], [1 + renewals - broken, broken]),
      atMost(`heap grows by, in ${renewals} renewals`, (after - heap) / 1024, 1024, 'KiB'),
    ];
  },
};
