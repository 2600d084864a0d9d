import { createHash, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { certificateInfo } from '../../lib/tls/certificateInfo.ts';
import { authority, inDays, selfSigned } from '../support/certificates.ts';

const root = await authority({ name: 'The authority' });
const intermediate = await root.intermediate({ name: 'One, "below"' });

describe('certificateInfo', () => {
  it('describes a certificate, with its times in milliseconds since 1970', async () => {
    const notBefore = new Date('2026-01-02T03:04:05Z');
    const notAfter = new Date('2049-12-31T23:59:59Z');
    const { cert } = await root.issue({ hosts: ['a.test', '*.b.test'], name: 'A', notBefore, notAfter });
    const { raw, serialNumber } = new X509Certificate(cert);
    const digest = createHash('sha256').update(raw).digest('hex').toUpperCase();
    expect(certificateInfo({ cert })).toEqual([
      {
        hosts: ['a.test', '*.b.test'],
        subject: 'CN=A',
        issuer: 'CN=The authority',
        serialNumber,
        fingerprint256: digest.match(/../g)?.join(':'),
        validFrom: notBefore.getTime(),
        validTo: notAfter.getTime(),
      },
    ]);
  });

  it.each([
    ['a string', (pem: string) => pem],
    ['a Buffer', (pem: string) => Buffer.from(pem)],
    [
      'text between the certificates',
      (pem: string) => `Issued by us\n${pem.replaceAll('-----BEGIN', 'Ä:\n-----BEGIN')}`,
    ],
    ['line ends of Windows', (pem: string) => pem.replaceAll('\n', '\r\n')],
    ['other labels', (pem: string) => pem.replaceAll(' CERTIFICATE-', ' X509 CERTIFICATE-')],
  ])('describes the first certificate of a chain: %s', async (_as, form) => {
    const { cert } = await intermediate.issue({ name: 'leaf' });
    expect(cert.match(/BEGIN/g)).toHaveLength(2);
    expect(certificateInfo({ cert: form(cert) })).toEqual([
      expect.objectContaining({ subject: 'CN=leaf', hosts: ['localhost', '127.0.0.1', '::1'] }),
    ]);
  });

  it('describes the first certificate of each chain, with a key before it or without', async () => {
    const [one, two] = await Promise.all([
      root.issue({ name: 'one' }),
      intermediate.issue({ name: 'two', type: 'rsa' }),
    ]);
    const infos = certificateInfo({ cert: [Buffer.from(one.key + one.cert), two.cert] });
    expect(infos.map(({ subject }) => subject)).toEqual(['CN=one', 'CN=two']);
  });

  it('leaves out what cannot be read', async () => {
    const { cert } = await root.issue();
    expect(certificateInfo({})).toEqual([]);
    expect(certificateInfo({ cert: [] })).toEqual([]);
    expect(certificateInfo({ cert: ['', 'text', cert.slice(0, 400), cert] })).toHaveLength(1);
  });

  it.each([
    [['10.0.0.1', '::', '2001:db8::1:0:0:1']],
    [['xn--bcher-kva.example']],
    [['a.test, DNS:b.test']],
    [['a"b\\.test', 'c.test']],
    [[]],
  ])('reads the hosts %o back, so that no name can claim to be two', async (hosts) => {
    const { cert } = await root.issue({ hosts, name: 'x' });
    expect(certificateInfo({ cert })[0]?.hosts).toEqual(hosts);
  });

  it('writes a name in one line: a line feed in it is escaped', async () => {
    const { cert } = await selfSigned({ name: 'a\nO=b', notAfter: inDays(1) });
    expect(certificateInfo({ cert })[0]).toMatchObject({ subject: 'CN=a\\0AO=b', issuer: 'CN=a\\0AO=b' });
  });
});
