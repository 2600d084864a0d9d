import { once } from 'node:events';
import { connect as connectRaw, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { Registry } from 'prom-client';
import { share } from 'rxjs';
import { afterEach, beforeAll, expect, it } from 'vitest';

import { metrics } from '../../lib/prometheus/index.ts';
import { type ServeOptions, serve } from '../../lib/serve.ts';
import { type Authority, authority, type Issued } from '../support/certificates.ts';
import { hello } from '../support/clientHello.ts';
import { iteration } from '../support/clock.ts';
import { Log } from '../support/log.ts';
import { Page } from './page.ts';

const HOST = '127.0.0.1';

let root: Authority;
let good: Issued;
beforeAll(async () => {
  root = await authority();
  good = await root.issue();
});

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function open(options: ServeOptions = {}) {
  const registry = new Registry();
  const events = serve({ port: 0, host: HOST }, (client) => client, { tls: good, ...options }).pipe(share());
  const reported = metrics(events, { registry });
  const log = Log.follow(events);
  ends.push(() => {
    reported.unsubscribe();
    log.subscription?.unsubscribe();
  });
  const port = await log.whenListening();
  return { log, port, page: async () => new Page(await registry.metrics()) };
}

function owned<T extends Socket>(socket: T): T {
  ends.push(() => socket.destroy());
  return socket.on('error', () => {});
}

const client = (port: number, options: ConnectionOptions = {}) =>
  owned(connectTls({ port, host: HOST, ca: root.ca, ...options }));

const COUNT = 'sluice_tls_handshake_duration_seconds_count';

it('handshakes are measured with the version of TLS that they led to', async () => {
  const { log, port, page } = await open();
  await once(client(port), 'secureConnect');
  await once(client(port, { maxVersion: 'TLSv1.2' }), 'secureConnect');
  await log.whenEmitted('opened', 2);
  const shown = await page();
  expect(shown.by(COUNT, 'tls_protocol_version')).toEqual({ 1.2: 1, 1.3: 1 });
  expect(shown.by(COUNT, 'error_type')).toEqual({ '': 1 });
  const [{ handshake = -1, waited = -1 } = {}] = log.of('opened');
  expect(handshake).toBeGreaterThanOrEqual(0);
  expect(waited).toBeGreaterThanOrEqual(handshake);
});

it('handshakes that fail, and those that are late, are measured as such', async () => {
  const { log, port, page } = await open({ handshake: 300 });
  owned(connectRaw({ port, host: HOST })).write('this is no TLS at all\n');
  await log.whenEmitted('refused');
  owned(connectRaw({ port, host: HOST }));
  await log.whenEmitted('refused', 2);
  const shown = await page();
  expect(shown.by(COUNT, 'error_type')).toEqual({ tls: 1, deadline: 1 });
  expect(shown.by('sluice_missed_deadlines_total', 'sluice_deadline_name')).toEqual({ handshake: 1 });
  const late = log.of('refused').find(({ reason }) => reason === 'deadline');
  expect(late?.handshake).toBeGreaterThanOrEqual(300);
});

it('handshakes in progress are counted', async () => {
  const { log, port, page } = await open({ handshake: 300 });
  expect((await page()).get('sluice_active_tls_handshakes')).toBe(0);
  const { resources } = log.of('listening')[0] ?? {};
  // A whole ClientHello, which the client never follows up.
  owned(connectRaw({ port, host: HOST })).write(await hello());
  while (resources?.handshakes !== 1) await iteration();
  expect((await page()).get('sluice_active_tls_handshakes')).toBe(1);
  await log.whenEmitted('refused');
  expect((await page()).get('sluice_active_tls_handshakes')).toBe(0);
});

it('a connection without TLS has no handshake', async () => {
  const { log, port, page } = await open({ tls: undefined });
  owned(connectRaw({ port, host: HOST }));
  await log.whenEmitted('opened');
  expect(log.of('opened')[0]).not.toHaveProperty('handshake');
  expect((await page()).samples.filter(({ name }) => name.startsWith('sluice_tls_handshake'))).toEqual([]);
});

it('the certificate in use has its end', async () => {
  const { log, page } = await open();
  const [certificate] = log.of('certificate');
  const endsAt = certificate?.certificates[0]?.validTo ?? 0;
  expect((await page()).get('sluice_certificate_expiry_timestamp_seconds')).toBe(endsAt / 1e3);
});
