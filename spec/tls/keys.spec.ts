import { once } from 'node:events';
import { connect } from 'node:tls';
import { Subject } from 'rxjs';
import { beforeAll, expect, it } from 'vitest';
import { serve } from '../../lib/serve.ts';
import { type TlsOptions, tlsServer } from '../../lib/tls/tlsSide.ts';
import { type Authority, authority, type Issued } from '../support/certificates.ts';
import { Log } from '../support/log.ts';

let root: Authority;
let ecdsa: Issued;
let rsa: Issued;
beforeAll(async () => {
  root = await authority();
  [ecdsa, rsa] = await Promise.all([root.issue({ name: 'ecdsa' }), root.issue({ name: 'rsa', type: 'rsa' })]);
});

// Node itself notices a wrong key only if it is of the certificate's type. Otherwise every handshake fails: alert 40.
it.each<[string, () => TlsOptions, string]>([
  ['one of another type', () => ({ cert: ecdsa.cert, key: rsa.key }), 'CN=ecdsa'],
  ['one of another type, as a list', () => ({ cert: [rsa.cert], key: [{ pem: ecdsa.key }] }), 'CN=rsa'],
  ['one that belongs to another certificate', () => ({ cert: [ecdsa.cert, rsa.cert], key: ecdsa.key }), 'CN=rsa'],
])('a certificate whose key is missing is an error: the key is %s', (_what, options, subject) => {
  expect(() => tlsServer(options())).toThrow(`no key belongs to the certificate of ${subject}`);
});

it('keys may be in any order, as buffers, and encrypted', async () => {
  const locked = await root.issue({ passphrase: 'secret' });
  const encrypted = { pem: locked.key, passphrase: 'secret' };
  for (const options of [
    { cert: [ecdsa.cert, rsa.cert], key: [rsa.key, ecdsa.key] },
    { cert: Buffer.from(ecdsa.cert), key: Buffer.from(ecdsa.key) },
    { cert: locked.cert, key: locked.key, passphrase: 'secret' },
    { cert: [rsa.cert, locked.cert], key: [encrypted, { pem: Buffer.from(rsa.key) }] },
  ])
    expect(() => tlsServer(options)).not.toThrow();
});

it('a renewal whose key is of another type is refused with an event, and clients are served with the one before', async () => {
  const tls = new Subject<TlsOptions>();
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { tls }));
  tls.next(ecdsa);
  const port = await log.whenListening();
  tls.next({ cert: rsa.cert, key: ecdsa.key });
  expect(log.of('failed')).toMatchObject([
    { error: { cause: { message: 'no key belongs to the certificate of CN=rsa' } } },
  ]);
  const client = connect({ port, host: '127.0.0.1', ca: root.ca });
  await once(client, 'secureConnect');
  expect(client.getPeerCertificate().subject.CN).toBe('ecdsa');
  client.destroy();
  log.subscription?.unsubscribe();
});
