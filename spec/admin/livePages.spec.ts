import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { addressesOf, exactly, matching, type Query, sortings, viewOf } from '../../lib/admin/connectionsView.ts';
import { Viewers } from '../../lib/admin/viewers.ts';
import type { ConnectionRow } from '../../lib/index.ts';
import { AdminPort, ask, closeAdminPorts } from '../support/adminPort.ts';
import { Waitable } from '../support/waitable.ts';

const pages = new Set<Page>();
afterEach(() => {
  for (const page of pages) page.close();
  closeAdminPorts();
});

const silent = { greeting: Number.POSITIVE_INFINITY, idle: Number.POSITIVE_INFINITY, linger: 0 };

/** A reader of `/events`. */
class Page extends Waitable {
  readonly #request: ClientRequest;
  // biome-ignore lint/suspicious/noExplicitAny: it is what the spec expects.
  readonly received: { event: string; data: any }[] = [];
  response: IncomingMessage | undefined;
  ended = false;

  constructor(admin: AdminPort, query = '') {
    super();
    pages.add(this);
    const headers = { authorization: `Bearer ${admin.token}` };
    const path = `/events?${query}`;
    this.#request = request({ port: admin.port, host: '127.0.0.1', path, headers, agent: false }, (response) => {
      this.response = response;
      let rest = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        const parts = (rest + text).split('\n\n');
        rest = parts.pop() ?? '';
        for (const part of parts) {
          const [, event = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
          this.received.push({ event, data: JSON.parse(data) });
        }
        this.changed();
      });
      response.on('end', () => {
        this.ended = true;
        this.changed();
      });
      response.on('error', () => {});
      this.changed();
    });
    this.#request.on('error', () => {}).end();
  }

  close(): void {
    this.#request.destroy();
  }

  get ticks() {
    return this.received.flatMap(({ event, data }) => (event === 'tick' ? [data] : []));
  }

  get last() {
    return this.ticks.at(-1);
  }

  whenTicked(count: number): Promise<this> {
    return this.until(({ ticks }) => ticks.length >= count, `${count} ticks`);
  }
}

describe('/events', () => {
  it('begins with the samples of before, and has a tick each second', async () => {
    const admin = await AdminPort.open({ serving: silent });
    const client = await admin.connect();
    await client.write('hello\n');
    await admin.clock.advance(3000);
    const page = await new Page(admin).whenTicked(1);
    expect(page.response?.headers['content-type']).toBe('text/event-stream');
    expect(page.received[0]).toMatchObject({ event: 'start', data: { pid: process.pid } });
    // One when the server began to listen, and then one each second.
    expect(page.received[0]?.data.history).toHaveLength(4);
    await admin.clock.advance(1000);
    await page.whenTicked(2);
    expect(page.last).toMatchObject({
      phase: 'serving',
      sample: { active: 1, waiting: 0, accepted: 1, closed: 0, refused: 0, bytesIn: 6, bytesOut: 6, concurrency: 1000 },
      connections: { total: 1, matching: 1, rows: [{ id: 1, bytesIn: 6, state: 'open' }] },
    });
    expect(page.last.sample.at - page.ticks[0].sample.at).toBe(1000);
  });

  it('keeps the samples of five minutes', async () => {
    const admin = await AdminPort.open();
    await admin.clock.advance(400_000);
    const page = await new Page(admin).whenTicked(1);
    const { history } = page.received[0]?.data ?? {};
    expect(history).toHaveLength(300);
    expect(history.at(-1).at - history[0].at).toBe(299_000);
  });

  it('has an action at once, and a drain from its begin to its report; then it ends', async () => {
    const admin = await AdminPort.open({ serving: { ...silent, announce: 500 } });
    await admin.connect();
    await admin.connect();
    const page = await new Page(admin).whenTicked(1);
    await admin.post('/connections/abort', { ids: [1] });
    await page.whenTicked(2);
    await admin.clock.advance(1000);
    await page.whenTicked(3);
    expect(page.last).toMatchObject({
      closes: [['aborted', 1]],
      sample: { closes: { aborted: 1 } },
      connections: { total: 1 },
    });
    admin.shutdown.next();
    await page.whenTicked(4);
    expect(page.last).toMatchObject({ phase: 'draining', drain: { of: 1 }, connections: { total: 1 } });
    await admin.clock.advance(500);
    await page.until(({ ended }) => ended, 'the end');
    expect(page.last).toMatchObject({
      phase: 'drained',
      drain: { of: 1, report: { drained: 1, aborted: 0, duration: 500 } },
      // The end of the server is a moment later: its sample replaces that of the report.
      sample: { active: 0, closes: { drained: 1 } },
    });
  });

  it('has no two samples within half a second, because rates would be of no time: the later one is for both', async () => {
    const admin = await AdminPort.open({ serving: { ...silent, announce: 5000 } });
    await admin.connect();
    await admin.clock.advance(1000);
    const page = await new Page(admin).whenTicked(1);
    await admin.connect();
    await admin.clock.advance(300);
    admin.shutdown.next();
    await admin.clock.advance(700);
    await page.whenTicked(3);
    const [first, drain, next] = page.ticks.map(({ sample }) => sample);
    expect([drain.at - first.at, drain.active, next.at - first.at]).toEqual([300, 2, 1000]);
    const again = await new Page(admin).whenTicked(1);
    const { history } = again.received[0]?.data ?? {};
    expect(history.slice(-2).map(({ at }: { at: number }) => at - first.at)).toEqual([300, 1000]);
    expect(history).toHaveLength(3);
  });

  it('has the rows that a search finds, in the order asked for, and not more than asked for', async () => {
    const admin = await AdminPort.open({ serving: silent });
    for (let i = 0; i < 5; i++) await admin.connect(i % 2 ? '192.0.2.1' : '2001:db8::1', 1000 + i);
    const page = await new Page(admin, 'search=192.0.2&sort=newest&first=1').whenTicked(1);
    expect(page.last.connections).toMatchObject({
      total: 5,
      matching: 2,
      isExact: false,
      rows: [{ id: 4 }],
      distinct: 2,
      addresses: [
        { address: '2001:db8::1', connections: 3 },
        { address: '192.0.2.1', connections: 2 },
      ],
    });
  });

  it.each(['sort=best', 'sort=constructor', 'first=0', 'first=501', 'first=x', `search=${'x'.repeat(201)}`])(
    'is 400 for %s',
    async (query) => {
      const admin = await AdminPort.open();
      expect((await admin.get(`/events?${query}`)).status).toBe(400);
    },
  );

  it('is 503 for more pages than may be open, until one leaves', async () => {
    const admin = await AdminPort.open({ options: { viewers: 2 } });
    const two = [new Page(admin), new Page(admin)];
    await Promise.all(two.map((page) => page.whenTicked(1)));
    expect(await admin.get('/events')).toMatchObject({ status: 503, headers: { 'retry-after': '10' } });
    expect(admin.log.of('refused')).toMatchObject([{ reason: 'viewers' }]);
    two[0]?.close();
    let third: Page;
    do third = await new Page(admin).until(({ response }) => response !== undefined);
    while (third.response?.statusCode === 503);
    await third.whenTicked(1);
  });

  it('has texts of peers and users as JSON, whatever is in them', async () => {
    const admin = await AdminPort.open({ serving: { ...silent, admit: () => '</script>\n\n__proto__' } });
    await admin.connect();
    await admin.clock.advance(1000);
    const page = await new Page(admin).whenTicked(1);
    expect(page.last.refusals).toEqual([['</script>\n\n__proto__', 1]]);
  });
});

describe('a page that does not read', () => {
  it('is cut off when its socket takes no more, and its place is free', async () => {
    const admin = await AdminPort.open({ options: { viewers: 1 }, serving: silent });
    for (let i = 0; i < 200; i++) admin.network.connect();
    await admin.clock.settle();
    const page = await new Page(admin).whenTicked(1);
    page.response?.pause();
    const cut = new Promise((resolve) => page.response?.on('close', resolve));
    // The kernel takes some megabytes first.
    const isFull = async () => {
      const headers = { authorization: `Bearer ${admin.token}` };
      return (await ask(admin.port, '/events', { method: 'HEAD', headers })).status === 503;
    };
    while (await isFull()) await admin.clock.advance(10_000);
    page.response?.resume();
    await cut;
    expect(page.ended).toBe(false);
  });

  class Stalled extends PassThrough {
    get isDestroyed() {
      return this.destroyed;
    }
  }

  it('keeps one event at most, and is cut off after ten seconds, however many events there were', () => {
    let now = 0;
    const viewers = new Viewers<string>(1, () => now);
    const to = new Stalled({ highWaterMark: 10 });
    viewers.add(to as never, 'query');
    const large = 'x'.repeat(1000);
    for (let i = 0; i < 100; i++) viewers.send('tick', () => large);
    expect([to.writableLength + to.readableLength < 2100, to.destroyed]).toEqual([true, false]);
    now = 9999;
    viewers.send('tick', () => large);
    expect(to.destroyed).toBe(false);
    now = 10_000;
    viewers.send('tick', () => large);
    expect(to.destroyed).toBe(true);
  });

  it('receives the next event once it has read, and has all its patience again', () => {
    let now = 0;
    const viewers = new Viewers<string>(1, () => now);
    const to = new Stalled({ highWaterMark: 10 });
    viewers.add(to as never, 'query');
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 8; i++) {
        viewers.send('tick', () => `"${round} ${'x'.repeat(100)}"`);
        now += 1000;
      }
      while (to.read() !== null);
    }
    expect(to.destroyed).toBe(false);
  });
});

describe('the view of the connections', () => {
  const address = fc.oneof(fc.constantFrom('192.0.2.1', '::ffff:192.0.2.1', '2001:db8::7', undefined), fc.ipV4());
  const row = fc.record({
    peer: fc.record({ address, port: fc.option(fc.nat(65_535), { nil: undefined }) }),
    bytesIn: fc.nat(),
    bytesOut: fc.nat(),
    unsent: fc.nat(),
    idle: fc.nat(),
  });
  const table = fc.array(row).map((rows) => rows.map((one, i) => ({ ...one, id: i + 1 }) as unknown as ConnectionRow));
  const query: fc.Arbitrary<Query> = fc.record({
    search: fc.oneof(fc.constant(''), fc.constantFrom('192', ':', '#3', '#', '2001:DB8', ':80')),
    sort: fc.constantFrom(...sortings),
    first: fc.integer({ min: 1, max: 500 }),
  });

  it('lists the rows that match, each once, and counts them; the sums of all addresses are those of all rows', () => {
    fc.assert(
      fc.property(table, query, (rows, asked) => {
        const view = viewOf(rows, addressesOf(rows, Number.POSITIVE_INFINITY), asked);
        const wanted = rows.filter((one) => asked.search === '' || matching(asked.search)(one)).map(({ id }) => id);
        expect([view.total, view.matching]).toEqual([rows.length, wanted.length]);
        expect(view.rows).toHaveLength(Math.min(wanted.length, asked.first));
        expect(new Set(view.rows.map(({ id }) => id)).size).toBe(view.rows.length);
        for (const { id } of view.rows) expect(wanted).toContain(id);
        const sum = (of: 'connections' | 'bytesIn' | 'bytesOut' | 'unsent') =>
          view.addresses.reduce((all, one) => all + one[of], 0);
        expect(sum('connections')).toBe(rows.length);
        expect(sum('bytesIn')).toBe(rows.reduce((all, one) => all + one.bytesIn, 0));
        expect(new Set(view.addresses.map((one) => one.address)).size).toBe(view.distinct);
      }),
    );
  });
});

describe('a search', () => {
  const of = (address: string | undefined, port = 5000, via?: string) =>
    ({ id: 17, peer: { address, port }, ...(via && { via: { address: via, port: 1 } }) }) as ConnectionRow;
  const isExactFor = (search: string, row: ConnectionRow) => [exactly(search)?.(row), matching(search)(row)];

  it('that is an address finds that one, and no longer one; that of a proxy as well', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.oneof(fc.ipV4(), fc.ipV6()), (address, other) => {
        expect(isExactFor(address, of(address))).toEqual([true, true]);
        expect(isExactFor(address, of(undefined, 1, address))).toEqual([true, true]);
        fc.pre(canonical(address) !== canonical(other));
        expect(isExactFor(address, of(other))).toEqual([false, false]);
      }),
      {
        examples: [
          ['127.0.1.1', '127.0.1.10'],
          ['27.0.1.1', '127.0.1.1'],
          ['::1', '::10'],
          ['::1', '1.2.3.4'],
        ],
      },
    );
  });
  const canonical = (address: string) =>
    address.includes(':') ? new URL(`http://[${address}]`).hostname.replace(/^\[::ffff:.*/, '') : address;

  it.each([
    ['#17', 'itself', of('192.0.2.1'), true],
    ['#1', 'no longer number', of('192.0.2.1'), false],
    ['192.0.2.1', 'the same one mapped into IPv6', of('::ffff:192.0.2.1'), true],
    ['::ffff:192.0.2.1', 'the plain one', of('192.0.2.1'), true],
    ['2001:DB8:0::7', 'the same one in another form', of('2001:db8::7'), true],
    ['[2001:db8::7]', 'the one in brackets', of('2001:db8::7'), true],
    ['[2001:db8::7]:5000', 'that port', of('2001:db8::7'), true],
    ['[2001:db8::7]:500', 'no longer port', of('2001:db8::7'), false],
    ['192.0.2.1:5000', 'that port', of('192.0.2.1'), true],
    ['192.0.2.1:500', 'no longer port', of('192.0.2.1'), false],
    ['10.0.0.0/8', 'an address of the network', of('10.255.0.1'), true],
    ['10.0.0.0/8', 'no address besides it', of('11.0.0.1'), false],
    ['0.0.0.0/0', 'no IPv6 address', of('::1'), false],
    ['::/0', 'no IPv4 address', of('1.2.3.4'), false],
    ['fe80::/10', 'an address with a zone', of('fe80::1%eth0'), true],
    ['::/0', 'no peer of a unix socket', of(undefined), false],
  ])('for %s finds %s', (search, _what, row, isFound) => {
    expect(isExactFor(search, row)).toEqual([isFound, isFound]);
  });

  it.each([
    '',
    '10.0.0.',
    '10.0.0',
    '#',
    '#x',
    '10.0.0.0/33',
    '10.0.0.0/',
    '::/129',
    'host',
    '[10.0.0.1',
    '1.2.3.4:70000000',
  ])('for %j is not exact', (search) => expect(exactly(search)).toBeUndefined());
});

it('counts an IPv4 address and the same one mapped into IPv6 as one', () => {
  const of = (address: string) => ({ peer: { address, port: 1 }, bytesIn: 1, bytesOut: 2, unsent: 0 }) as ConnectionRow;
  const rows = ['::ffff:192.0.2.1', '2001:db8::1', '192.0.2.1'].map(of);
  expect(addressesOf(rows)).toEqual({
    distinct: 2,
    addresses: [
      { address: '192.0.2.1', connections: 2, bytesIn: 2, bytesOut: 4, unsent: 0 },
      { address: '2001:db8::1', connections: 1, bytesIn: 1, bytesOut: 2, unsent: 0 },
    ],
  });
});
