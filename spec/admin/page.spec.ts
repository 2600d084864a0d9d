import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect, type Socket } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { BehaviorSubject, map, Subject, share } from 'rxjs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { admin } from '../../lib/admin/index.ts';
import { encodeLine, lines, type ServeOptions, serve } from '../../lib/index.ts';
import { AdminLog, ask } from '../support/adminPort.ts';
import { hasBrowser, startBrowser } from '../support/browser.ts';
import { Log } from '../support/log.ts';
import { PATIENCE } from '../support/waitable.ts';

let browser: Browser;
let axe: string;
beforeAll(async () => {
  if (!hasBrowser) return;
  browser = await startBrowser();
  axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
});
afterAll(() => browser?.close());

/** A server with real sockets, its admin port, and its clients. */
class World {
  readonly concurrency = new BehaviorSubject(50);
  readonly perAddress = new BehaviorSubject(Number.POSITIVE_INFINITY);
  readonly shutdown = new Subject<void>();
  readonly admin: AdminLog;
  readonly server: Log;
  readonly sockets = new Set<Socket>();
  port = 0;

  constructor(serving: ServeOptions = {}) {
    const { concurrency, perAddress, shutdown } = this;
    const given = { concurrency, perAddress: { connections: perAddress }, shutdown, grace: 30_000, linger: 100 };
    const silent = { greeting: Number.POSITIVE_INFINITY, idle: Number.POSITIVE_INFINITY };
    const options = { ...given, ...silent, frame: Number.POSITIVE_INFINITY, pace: { in: 0 }, ...serving };
    const events = serve({ port: 0, host: '127.0.0.1' }, (one) => one.pipe(lines(), map(encodeLine)), options).pipe(
      share(),
    );
    const limits = { concurrency, 'perAddress.connections': perAddress };
    this.admin = AdminLog.follow(admin(events, { port: 0, limits, drain: () => shutdown.next() })).log;
    this.server = Log.follow(events);
  }

  async open(): Promise<this> {
    await this.admin.whenListening();
    this.port = await this.server.whenListening();
    return this;
  }

  get url(): string {
    return this.admin.of('listening')[0]?.url ?? '';
  }

  /** A client that is connected, from an address of the loopback. */
  connect(address = '127.0.0.1'): Promise<Socket> {
    const socket = connect({ port: this.port, host: '127.0.0.1', localAddress: address });
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket)).resume();
    return new Promise((resolve) => socket.on('connect', () => resolve(socket)));
  }

  /** Connects some, one after another, until they are served. */
  async connectAll(count: number, address?: string): Promise<Socket[]> {
    const before = this.server.of('opened').length;
    const all: Socket[] = [];
    for (let i = 0; i < count; i++) all.push(await this.connect(address));
    await this.server.whenEmitted('opened', before + count);
    return all;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.shutdown.next();
    this.shutdown.next();
    await this.admin.until(({ completed }) => completed, 'the end');
  }
}

let world: World;
let page: Page;
/** What must not be there: errors of the console and of the page, and requests to another host. */
let faults: string[];

async function open(
  options: { serving?: ServeOptions; dark?: boolean; width?: number; url?: (of: World) => string } = {},
) {
  const { serving, dark = false, width = 1280, url = (of) => of.url } = options;
  world = await new World(serving).open();
  const colorScheme = dark ? 'dark' : 'light';
  page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, reducedMotion: 'reduce' });
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(error.message));
  const { host } = new URL(world.url);
  page.on('request', (request) => new URL(request.url()).host !== host && faults.push(request.url()));
  await page.goto(url(world));
}

beforeEach(() => {
  faults = [];
});
afterEach(async () => {
  await page?.close();
  await world?.close();
  expect(faults).toEqual([]);
});

const text = (selector: string) => page.locator(selector).innerText();
const attribute = (selector: string, name: string) => page.locator(selector).getAttribute(name);
/** Expects what the page shows once it has received it. */
const soon = <T>(read: () => Promise<T>) => expect.poll(read, { timeout: PATIENCE });
const becomes = (selector: string, wanted: string) => soon(() => page.locator(selector).textContent()).toBe(wanted);
const idsShown = () =>
  page.locator('#connections tbody tr').evaluateAll((rows) => rows.map((row) => Number(row.dataset.id)));
/** The number of the connection whose row has the focus, or the id of the element that has it. */
const focused = () =>
  page
    .locator('html')
    .evaluate(({ ownerDocument: { activeElement } }) => activeElement?.closest('tr')?.dataset.id ?? activeElement?.id);
/** Forgets that the browser reports answers with an error of the client. */
const refusals = (status: number) => {
  faults = faults.filter((fault) => !fault.includes(`the server responded with a status of ${status}`));
};
const row = (id: number) => page.locator(`#connections tr[data-id="${id}"]`);
const confirm = () => page.locator('#ask-yes').click();
const isSaid = (sentence: string) => becomes('#said', sentence);

describe.skipIf(!hasBrowser)('the live page', () => {
  it('shows the figures that the server has', async () => {
    await open();
    const [first] = await world.connectAll(3);
    await world.connectAll(4, '127.0.0.5');
    first?.write('hello\n');
    await becomes('#figure-active', '7');
    await soon(() => page.locator('#connections td.in').first().innerText()).toBe('6 B');
    expect(await idsShown()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const headers = { authorization: `Bearer ${world.admin.of('listening')[0]?.token}` };
    const adminPort = world.admin.of('listening')[0]?.address.port ?? 0;
    const rows = JSON.parse((await ask(adminPort, '/connections', { headers })).text);
    const peers = await page.locator('#connections td.peer bdi').allInnerTexts();
    expect(peers).toEqual(
      rows.map(({ peer }: { peer: { address: string; port: number } }) => `${peer.address}:${peer.port}`),
    );
    expect(
      await page
        .locator('#addresses tbody tr')
        .evaluateAll((all) => all.map((one) => one.querySelector('td.peer')?.textContent)),
    ).toEqual(['127.0.0.5', '127.0.0.1']);
    expect(await text('#phase')).toBe('serving');
    expect(await page.locator('.plot').first().getAttribute('aria-label')).toBe(
      'Connections: active 7, waiting 0, limit 50',
    );
    world.sockets.forEach((socket) => void socket.end());
    await becomes('#figure-active', '0');
    await soon(() => attribute('.chart:last-child .plot', 'aria-label')).toMatch(/ended 7$/);
    expect(await text('#connections .none')).toBe('No connection is being served.');
  });

  it('names what pauses a connection, and its proxy', async () => {
    await open({
      serving: { stall: Number.POSITIVE_INFINITY, pace: { in: 0, out: 0 }, proxy: { trusted: ['127.0.0.1'] } },
    });
    const slow = await world.connect();
    slow.write('PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n');
    slow.pause();
    const line = `${'x'.repeat(60_000)}\n`;
    for (let i = 0; i < 400; i++) slow.write(line);
    await soon(() => page.locator('#connections td.paused .is-now').allInnerTexts()).toEqual(['peer']);
    expect(await page.locator('#connections td.peer bdi').innerText()).toBe('203.0.113.7:51234');
    expect(await text('#connections td.peer .via')).toBe(`via 127.0.0.1:${slow.localPort}`);
    expect(await text('#connections td.unsent')).toMatch(/iB$/);
    slow.resume();
    await soon(() => text('#connections td.paused')).toMatch(/^peer \d/);
    expect(await page.locator('#connections td.paused .is-now').count()).toBe(0);
  });

  it('drains one, aborts one after a question, and says so', async () => {
    await open();
    const [, second] = await world.connectAll(2);
    await row(1).getByRole('button', { name: 'Drain' }).click();
    await world.server.whenEmitted('closed');
    expect(world.server.of('closed')).toMatchObject([{ id: 1, reason: 'drained', detail: 'admin' }]);
    await isSaid(`127.0.0.1:${world.server.of('opened')[0]?.peer.port}: 1 connection is asked to finish`);
    await row(2).getByRole('button', { name: 'Abort' }).click();
    expect(await text('#ask-text')).toContain('What is unsent is lost.');
    await page.locator('#ask-no').click();
    expect(second?.destroyed).toBe(false);
    await row(2).getByRole('button', { name: 'Abort' }).click();
    await confirm();
    await world.server.whenEmitted('closed', 2);
    expect(world.server.of('closed')[1]).toMatchObject({ id: 2, reason: 'aborted' });
  });

  it('drains all of an address, and all that a search finds', async () => {
    await open();
    await world.connectAll(3, '127.0.0.7');
    await world.connectAll(2, '127.0.0.8');
    await world.connectAll(1);
    await page.getByRole('button', { name: 'Drain all of 127.0.0.7' }).click();
    expect(await text('#ask-text')).toContain('3 connections');
    await confirm();
    await world.server.whenEmitted('closed', 3);
    await page.locator('#search').fill('127.0.0.8');
    await becomes('#connections-count', '2 of 3');
    await page.locator('#abort-all').click();
    await confirm();
    await world.server.whenEmitted('closed', 5);
    expect(world.server.of('closed').map(({ peer }) => peer.address)).toEqual([
      ...Array(3).fill('127.0.0.7'),
      ...Array(2).fill('127.0.0.8'),
    ]);
    await page.locator('#search').fill('');
    await becomes('#connections-count', '1');
    await page.locator('#sort').selectOption('newest');
    await world.connectAll(1);
    await soon(() => attribute('#connections tbody tr:first-child', 'data-id')).toBe('7');
  });

  it('moves a limit, and shows the sentence of the server for a value that cannot be', async () => {
    await open();
    const field = page.getByLabel('Served at a time', { exact: true });
    await field.fill('1');
    await field.press('Enter');
    await isSaid('Served at a time: 50 is now 1');
    expect(world.concurrency.value).toBe(1);
    await field.fill('0');
    await field.press('Enter');
    await becomes('#limit-concurrency-wrong', 'value must be a whole number of 1 or more, not 0');
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    expect(world.concurrency.value).toBe(1);
    // What is moved elsewhere is shown, but not in a field that is being edited.
    world.concurrency.next(20);
    world.perAddress.next(3);
    await soon(() => page.locator('#limit-perAddress-connections').inputValue()).toBe('3');
    expect(await field.inputValue()).toBe('0');
    refusals(400);
  });

  it('shows the drain of the server while it happens, and its report', async () => {
    await open();
    const [first, second] = await world.connectAll(2);
    for (const socket of [first, second]) socket?.write('half a line');
    await soon(() => page.locator('#connections td.in').allInnerTexts()).toEqual(['11 B', '11 B']);
    await page.locator('#drain-server').click();
    await soon(() => text('#ask-text')).toContain('2 finish their work');
    await confirm();
    await becomes('#phase', 'draining');
    await soon(() => page.locator('#connections td.state').allInnerTexts()).toEqual(['draining', 'draining']);
    first?.write('\n');
    await soon(() => text('#drain-text')).toMatch(/^1 of 2 connections closed/);
    expect(await page.locator('#drain-bar').getAttribute('value')).toBe('0.5');
    second?.write('\n');
    await becomes('#phase', 'drained');
    expect(await text('#drain-title')).toMatch(/^Drained in \d/);
    expect(await text('#drain-text')).toBe('2 finished, none aborted, 0 refused, 0 B unsent');
    await world.admin.until(({ completed }) => completed, 'the end of the admin port');
  });

  it('asks for the token if it has none or a wrong one, and takes it out of the address', async () => {
    await open({ url: ({ url }) => url.replace(/#.*/, '') });
    expect(await page.locator('#shown').isHidden()).toBe(true);
    await page.getByLabel('Token').fill('wrong');
    await page.getByRole('button', { name: 'Open' }).click();
    await becomes('#token-wrong', 'That token is not the one of this server.');
    await page.getByLabel('Token').fill(world.admin.of('listening')[0]?.token ?? '');
    await page.getByRole('button', { name: 'Open' }).click();
    await becomes('#phase', 'serving');
    await page.reload();
    await becomes('#phase', 'serving');
    expect(page.url()).not.toContain('token');
    refusals(401);
  });

  it('takes the token out of the address', async () => {
    await open();
    await becomes('#phase', 'serving');
    expect(page.url()).toBe(world.url.replace(/#.*/, ''));
  });

  it('shows what comes from peers and users as text', async () => {
    const evil = '<img src=x onerror="document.title=1">__proto__';
    await open({ serving: { admit: ({ address }) => (address === '127.0.0.6' ? evil : true) } });
    const client = await world.connect('127.0.0.6');
    await new Promise((resolve) => client.on('close', resolve));
    await soon(() => text('#figures')).toContain(`1 ${evil}`);
    expect(await page.locator('#figures img').count()).toBe(0);
  });

  it('keeps the focus on a button while its row is updated, and moves it to the heading when the row is gone', async () => {
    await open();
    const sockets = await world.connectAll(3);
    const button = row(2).getByRole('button', { name: 'Abort' });
    await button.focus();
    await page.locator('#sort').evaluate((sort) => {
      sort.value = 'newest';
      sort.dispatchEvent(new Event('change'));
    });
    await soon(() => attribute('#connections tbody tr:first-child', 'data-id')).toBe('3');
    expect(await focused()).toBe('2');
    sockets[0]?.end();
    await becomes('#figure-active', '2');
    expect(await focused()).toBe('2');
    sockets[1]?.end();
    await becomes('#figure-active', '1');
    expect(await focused()).toBe('connections-title');
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
    ['dark', 390],
  ] as const)('is accessible, %s, at a width of %d px, and nothing is wider than that', async (theme, width) => {
    await open({ dark: theme === 'dark', width });
    await world.connectAll(3);
    await becomes('#figure-active', '3');
    await page.getByLabel('Served at a time', { exact: true }).fill('0');
    await page.getByRole('button', { name: 'Set Served at a time' }).click();
    await soon(() => text('#limit-concurrency-wrong')).not.toBe('');
    refusals(400);
    // Not a script element: the policy of the page allows only its own.
    await page.evaluate(axe);
    const check = () =>
      page.evaluate(async () => {
        // @ts-expect-error: axe is a global of the page.
        const { violations } = await axe.run();
        return violations.map(({ id, nodes }: { id: string; nodes: { html: string }[] }) => [
          id,
          nodes.map(({ html }) => html),
        ]);
      });
    expect(await check()).toEqual([]);
    await page.locator('#drain-all').click();
    expect(await check()).toEqual([]);
    await page.keyboard.press('Escape');
    expect(await page.locator('html').evaluate(({ scrollWidth }) => scrollWidth)).toBeLessThanOrEqual(width);
    expect(await focused()).toBe('drain-all');
  });

  it('shows a thousand connections that come and go for a minute truly, and its memory is flat', async () => {
    await open();
    world.concurrency.next(2000);
    const used = async () => {
      await page.requestGC();
      return page
        .locator('html')
        .evaluate((html) => [
          html.ownerDocument.defaultView.performance.memory.usedJSHeapSize,
          html.querySelectorAll('*').length,
        ]);
    };
    /** Some hundred at a time, with ticks between them. */
    const more = async (count: number) => {
      const before = world.server.of('opened').length;
      const all = await Promise.all(Array.from({ length: count }, (_, i) => world.connect(`127.0.0.${2 + (i % 20)}`)));
      await world.server.whenEmitted('opened', before + count);
      return all;
    };
    const end = async (sockets: readonly Socket[]) => {
      const before = world.server.of('closed').length;
      for (const socket of sockets) socket.end();
      await world.server.whenEmitted('closed', before + sockets.length);
    };
    const all = await more(1000);
    // As many as it shows at most: it has its full size from the begin.
    await soon(() => page.locator('#connections tbody tr').count()).toBe(200);
    const [memory = 0, elements = 0] = await used();
    // For a minute: the page receives its figures once a second.
    for (let round = 0; round < 60; round++) {
      const [tick] = await page.locator('#where').allInnerTexts();
      await end(all.splice(0, 250));
      all.push(...(await more(250)));
      await soon(() => text('#where')).not.toBe(tick);
    }
    await end(all.splice(0, 850));
    await becomes('#connections-count', '150');
    await becomes('#figure-active', '150');
    const ids = new Set(world.server.of('closed').map(({ id }) => id));
    const left = world.server.of('opened').flatMap(({ id }) => (ids.has(id) ? [] : [id]));
    expect(await idsShown()).toEqual(left);
    const [memoryAfter = 0, elementsAfter = 0] = await used();
    expect(elementsAfter).toBeLessThan(elements);
    expect(memoryAfter - memory).toBeLessThan(2_000_000);
  });
});
