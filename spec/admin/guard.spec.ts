import { afterEach, describe, expect, it } from 'vitest';
import { routes } from '../../lib/admin/routes.ts';
import { AdminPort, ask, closeAdminPorts } from '../support/adminPort.ts';

afterEach(closeAdminPorts);

const paths = (access: string) =>
  [...routes].flatMap(([path, route]) => (route.access === access ? [[path, route.method] as const] : []));

describe.each(paths('token'))('%s', (path, method) => {
  const send = (admin: AdminPort, headers: Record<string, string>) =>
    ask(admin.port, path, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: method === 'POST' ? '{}' : undefined,
    });
  const of = async (admin: AdminPort, headers: Record<string, string>) => {
    const { status, text, headers: sent } = await send(admin, headers);
    return [status, JSON.parse(text).error.reason, sent['www-authenticate']];
  };

  it('is refused without a token, and with a wrong one', async () => {
    const admin = await AdminPort.open();
    const wrong = [
      '',
      'Bearer',
      'Bearer wrong',
      `Basic ${admin.token}`,
      `Bearer ${admin.token}x`,
      `Bearer ${admin.token.slice(1)}`,
    ];
    for (const authorization of wrong) {
      expect(await of(admin, { authorization })).toEqual([401, 'token', 'Bearer realm="sluice admin"']);
    }
    expect((await ask(admin.port, `${path}?token=${admin.token}`, { method })).status).toBe(401);
    expect(admin.log.of('action')).toEqual([]);
  });

  it('is refused under a name that is not one of the port: after DNS rebinding a page has that name', async () => {
    const admin = await AdminPort.open();
    const authorization = `Bearer ${admin.token}`;
    for (const host of [
      'evil.example',
      'evil.example:7001',
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      '[::1].evil',
      ':80',
    ]) {
      expect(await of(admin, { authorization, host })).toEqual([421, 'host', undefined]);
    }
    expect(admin.log.of('action')).toEqual([]);
  });

  it('is refused to a page of another origin, even with the token', async () => {
    const admin = await AdminPort.open();
    const authorization = `Bearer ${admin.token}`;
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      { origin: 'http://127.0.0.1:1' },
      { origin: 'null' },
      { origin: `file://127.0.0.1:${admin.port}` },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of foreign)
      expect(await of(admin, { authorization, ...headers })).toEqual([403, 'origin', undefined]);
    expect(admin.log.of('action')).toEqual([]);
  });

  it('is not refused with the token, from the page itself, a script, or under a name of the port', async () => {
    const admin = await AdminPort.open({ options: { names: ['admin.internal', 'Admin.Example.'] } });
    const authorization = `Bearer ${admin.token}`;
    const good: Record<string, string>[] = [
      {},
      { origin: `http://127.0.0.1:${admin.port}`, 'sec-fetch-site': 'same-origin' },
      { host: 'localhost:5', origin: 'http://localhost:5' },
      { host: 'LOCALHOST.' },
      { host: '[::1]:7001' },
      { host: '192.0.2.1' },
      { host: 'admin.example' },
      { host: 'ADMIN.example.:7001' },
      { host: 'admin.internal', origin: 'https://admin.internal' },
    ];
    for (const headers of good) {
      const sent = await head(admin.port, path, method, { authorization, ...headers });
      expect([headers, [401, 403, 421].includes(sent)]).toEqual([headers, false]);
    }
  });
});

/** The status alone: the events never end. */
const head = async (port: number, path: string, method: string, headers: Record<string, string>): Promise<number> => {
  const isGet = method === 'GET';
  const all = { 'content-type': 'application/json', ...headers };
  return (await ask(port, path, { method: isGet ? 'HEAD' : method, headers: all, body: isGet ? undefined : '{}' }))
    .status;
};

describe('the page', () => {
  it.each(paths('page'))(
    '%s is the same for everyone, without a token, and only under a name of the port',
    async (path) => {
      const admin = await AdminPort.open();
      const { status, headers, text } = await ask(admin.port, path);
      expect(status).toBe(200);
      expect(text).not.toContain(admin.token);
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'content-security-policy': expect.stringContaining("default-src 'none'; script-src 'self'"),
        'cross-origin-resource-policy': 'same-origin',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
      });
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(headers).not.toHaveProperty('access-control-allow-origin');
      expect((await ask(admin.port, path, { headers: { host: 'evil.example' } })).status).toBe(421);
    },
  );

  it('has no script and no style within its HTML, which its policy would not allow', async () => {
    const admin = await AdminPort.open();
    const { text } = await ask(admin.port, '/');
    expect(text).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i);
    expect([...text.matchAll(/(?:src|href)="([^"]*)"/g)].filter(([, to = '']) => /^(\w+:|\/\/)/.test(to))).toEqual([]);
  });
});

describe('an unknown path', () => {
  it('is 401 without the token, and 404 with it', async () => {
    const admin = await AdminPort.open();
    for (const path of [
      '/nothing',
      '/../package.json',
      '/page.css/..%2f..%2findex.ts',
      '/constructor',
      '//',
      '//evil.example/',
      '/%00',
    ]) {
      expect((await ask(admin.port, path)).status).toBe(401);
      expect((await admin.get(path)).status).toBe(404);
    }
  });
});

describe('refused requests', () => {
  it('are events, one a second for each reason, which count the others', async () => {
    const admin = await AdminPort.open();
    for (let i = 0; i < 5; i++) await ask(admin.port, '/connections');
    await ask(admin.port, '/connections', { headers: { host: 'evil.example' } });
    await admin.clock.advance(1000);
    await ask(admin.port, '/connections');
    const peer = { address: '127.0.0.1', port: expect.any(Number) };
    expect(admin.log.of('refused')).toEqual([
      { type: 'refused', reason: 'token', peer, more: 0 },
      { type: 'refused', reason: 'host', peer, more: 0 },
      { type: 'refused', reason: 'token', peer, more: 4 },
    ]);
  });
});

describe('the token', () => {
  it('has 256 random bits, and is in the fragment of the URL', async () => {
    const [a, b] = [await AdminPort.open(), await AdminPort.open()];
    expect(a.token).toMatch(/^[\w-]{43}$/);
    expect(a.token).not.toBe(b.token);
    expect(a.log.of('listening')[0]).toMatchObject({
      url: `http://127.0.0.1:${a.port}/#token=${a.token}`,
      isExposed: false,
    });
  });
});
