import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect, type Socket } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { BehaviorSubject, map, Subject, type Subscription, share } from 'rxjs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type AdminOptions, admin } from '../../lib/admin/index.ts';
import { encodeLine, lines, type PerAddressLimit, type ServeOptions, serve } from '../../lib/index.ts';
import { AdminLog, ask } from '../support/adminPort.ts';
import { hasBrowser, startBrowser } from '../support/browser.ts';
import { Clock } from '../support/clock.ts';
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
  readonly perAddress = new BehaviorSubject<PerAddressLimit>(Number.POSITIVE_INFINITY);
  readonly shutdown = new Subject<void>();
  readonly admin: AdminLog;
  readonly administering: Subscription;
  readonly server: Log;
  readonly sockets = new Set<Socket>();
  port = 0;

  constructor(serving: ServeOptions = {}, options: Partial<AdminOptions> = {}) {
    const { concurrency, perAddress, shutdown } = this;
    const given = { concurrency, perAddress: { connections: perAddress }, shutdown, grace: 30_000, linger: 100 };
    const silent = { greeting: Number.POSITIVE_INFINITY, idle: Number.POSITIVE_INFINITY };
    const all = { ...given, ...silent, frame: Number.POSITIVE_INFINITY, pace: { in: 0 }, ...serving };
    const echo = serve({ port: 0, host: '127.0.0.1' }, (one) => one.pipe(lines(), map(encodeLine)), all);
    const events = echo.pipe(share());
    const limits = { concurrency, 'perAddress.connections': perAddress };
    const following = AdminLog.follow(admin(events, { port: 0, limits, drain: () => shutdown.next(), ...options }));
    this.admin = following.log;
    this.administering = following.subscription;
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
  options: {
    serving?: ServeOptions;
    administering?: Partial<AdminOptions>;
    dark?: boolean;
    width?: number;
    url?: (of: World) => string;
    before?: () => Promise<unknown>;
  } = {},
) {
  const { serving, administering, dark = false, width = 1280, url = (of) => of.url, before } = options;
  world = await new World(serving, administering).open();
  const colorScheme = dark ? 'dark' : 'light';
  page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, reducedMotion: 'reduce' });
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(error.message));
  const { host } = new URL(world.url);
  page.on('request', (request) => new URL(request.url()).host !== host && faults.push(request.url()));
  await before?.();
  await page.goto(url(world));
}

/** With a clock of the page that can be put forward. */
const withClock = () => page.clock.install();
/** With one that moves only when it is put forward. */
const withStoppedClock = async () => {
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 1000);
};
/** Forgets that the browser reports a port that is closed. */
const closedPorts = () => {
  faults = faults.filter((fault) => !/ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED)/.test(fault));
};

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
    await soon(() => text('#ask-text')).toContain('0 idle connections end when asked to finish, 2 finish their work');
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
    await soon(() => text('#refusals')).toContain(`1 ${evil}`);
    expect(await page.locator('#refusals img').count()).toBe(0);
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

  it('says that the server drains already if it does when a drain is confirmed', async () => {
    await open();
    const [client] = await world.connectAll(1);
    client?.write('half a line');
    await becomes('#connections td.in', '11 B');
    await page.locator('#drain-server').click();
    world.shutdown.next();
    await becomes('#phase', 'draining');
    await confirm();
    await isSaid('The server is draining already');
    refusals(409);
    expect(world.server.of('closed')).toEqual([]);
    client?.write('\n');
    await becomes('#phase', 'drained');
    expect(world.server.of('closed')).toMatchObject([{ reason: 'drained' }]);
  });

  it('says that there are no figures when the server is silent, and that a click waits', async () => {
    const scheduler = new Clock();
    await open({ administering: { scheduler }, before: withStoppedClock });
    await world.connectAll(1);
    await scheduler.advance(1000);
    await becomes('#figure-active', '1');
    await page.clock.fastForward(6000);
    await soon(() => text('#phase')).toMatch(/^no figures for [56] s$/);
    await isSaid('The server sends no figures: it is blocked, or cannot be reached. What is shown is of before.');
    expect(await attribute('body', 'class')).toBe('is-stale');
    let go = () => {};
    await page.route('**/connections/drain', (route) => {
      go = () => void route.continue();
    });
    await row(1).getByRole('button', { name: 'Drain' }).click();
    await isSaid('The server does not answer yet. This waits, and is done as soon as it does.');
    go();
    await world.server.whenEmitted('closed');
    await becomes('#phase', 'serving');
    expect(await attribute('body', 'class')).toBe('');
  });

  it('says that a click waits if no answer comes', async () => {
    await open({ before: withStoppedClock });
    await world.connectAll(1);
    await becomes('#figure-active', '1');
    await page.route('**/connections/drain', () => {});
    await row(1).getByRole('button', { name: 'Drain' }).click();
    await page.clock.fastForward(3000);
    await isSaid('The server does not answer yet. This waits, and is done as soon as it does.');
  });

  it('connects again when the stream is dead, again and again', async () => {
    const scheduler = new Clock();
    await open({ administering: { scheduler }, before: withStoppedClock });
    await becomes('#figure-active', '0');
    let tries = 0;
    await page.route('**/events?*', async (route) => {
      if (++tries === 3) await route.continue();
    });
    await world.connectAll(1);
    for (let i = 1; i <= 3; i++) {
      await page.clock.fastForward(11_000);
      await expect.poll(() => tries, { timeout: PATIENCE }).toBe(i);
      if (i < 3) await soon(() => text('#phase')).toMatch(/^no figures for \d+ s$/);
    }
    await becomes('#connections-count', '1');
    await becomes('#phase', 'serving');
  });

  it('asks for the token of a server that was started after the drain, and starts afresh when it is opened in the same tab', async () => {
    await open({ before: withClock });
    await world.connectAll(2);
    await becomes('#figure-active', '2');
    const { port = 0 } = world.admin.of('listening')[0]?.address ?? {};
    await world.close();
    await becomes('#phase', 'drained');
    await soon(() => attribute('body', 'class')).toBe('is-over');
    await page.clock.fastForward(4000);
    expect(await text('#phase')).toBe('drained');
    world = await new World({}, { port }).open();
    await world.connectAll(1);
    await page.clock.fastForward(4000);
    await becomes(
      '#token-wrong',
      'The server was restarted, and has another token. Open the address that it has printed, or paste its token.',
    );
    expect(await text('#phase')).toBe('token needed');
    await page.goto(world.url);
    await becomes('#phase', 'serving');
    await becomes('#figure-active', '1');
    expect(await attribute('body', 'class')).toBe(null);
    expect(await page.locator('#connections td.peer bdi').allInnerTexts()).toEqual([
      `127.0.0.1:${world.server.of('opened')[0]?.peer.port}`,
    ]);
    expect(page.url()).not.toContain('token');
    closedPorts();
    refusals(401);
  });

  it('starts afresh by itself with a server that has the same token, also if the one before was killed', async () => {
    const token = 'the-same-token-for-both';
    await open({ administering: { token }, before: withClock });
    await world.connectAll(2);
    await becomes('#figure-active', '2');
    const { port = 0 } = world.admin.of('listening')[0]?.address ?? {};
    // All that it was is gone at once: no drain is shown.
    world.administering.unsubscribe();
    await becomes('#phase', 'not reachable');
    for (const socket of world.sockets) socket.destroy();
    world.shutdown.next();
    world = await new World({}, { port, token }).open();
    await world.connectAll(1, '127.0.0.4');
    await page.clock.fastForward(2000);
    await becomes('#figure-active', '1');
    expect(await page.locator('#connections td.peer bdi').allInnerTexts()).toEqual([
      `127.0.0.4:${world.server.of('opened')[0]?.peer.port}`,
    ]);
    closedPorts();
  });

  it('takes the token from an address that is opened in the tab that shows the page already', async () => {
    await open({ url: ({ url }) => url.replace(/#.*/, '') });
    await becomes('#phase', 'token needed');
    await page.goto(world.url);
    await becomes('#phase', 'serving');
    expect(page.url()).not.toContain('token');
  });

  it('says that too many pages are open, and is served when one is closed', async () => {
    await open({ administering: { viewers: 1 } });
    await becomes('#phase', 'serving');
    const first = page;
    const second = await browser.newPage();
    await second.goto(world.url);
    page = second;
    await becomes('#phase', 'too many pages');
    await isSaid('As many live pages are open as may be. Close one: this page goes on trying.');
    await first.close();
    await becomes('#phase', 'serving');
  });

  it('takes the share of an address in place of a number, and no word for another limit', async () => {
    await open();
    const field = page.getByLabel('From one address', { exact: true });
    await soon(() => field.inputValue()).toBe('Infinity');
    await field.fill('share');
    await field.press('Enter');
    await isSaid('From one address: Infinity is now share');
    expect(world.perAddress.value).toBe('share');
    const other = page.getByLabel('Served at a time', { exact: true });
    await other.fill('share');
    await other.press('Enter');
    await becomes('#limit-concurrency-wrong', "value must be a whole number of 1 or more, not 'share'");
    refusals(400);
  });

  it('refuses a limit that can be read in two ways, and takes what it shows itself', async () => {
    const perSecond = new BehaviorSubject(0.5);
    await open({ serving: { accepts: { perSecond } }, administering: { limits: { 'accepts.perSecond': perSecond } } });
    const field = page.getByLabel('Accepted in all', { exact: true });
    await soon(() => field.inputValue()).toBe('0.5');
    for (const typed of ['1.000', '1,5', '1e2', '0x10', '10,00', '1 000', '.5', '-1', '1.125', 'ten', '']) {
      await field.fill(typed);
      await field.press('Enter');
      const sentence =
        typed === ''
          ? 'Type a number.'
          : `“${typed}” is not clear. Write digits only, such as 1000, or with a point, such as 0.5.`;
      await becomes('#limit-accepts-perSecond-wrong', sentence);
    }
    expect(perSecond.value).toBe(0.5);
    for (const [typed, value, shown] of [
      ['1,000', 1000, '1,000'],
      ['2.25', 2.25, '2.25'],
      ['1,000.5', 1000.5, '1,000.5'],
      ['Infinity', Number.POSITIVE_INFINITY, 'Infinity'],
      ['1234567', 1_234_567, '1,234,567'],
    ] as const) {
      await field.fill(typed);
      await field.press('Enter');
      await expect.poll(() => perSecond.value, { timeout: PATIENCE }).toBe(value);
      await soon(() => field.inputValue()).toBe(shown);
    }
  });

  it('takes a limit as it shows it itself, also if that could be read in two ways', async () => {
    const perSecond = new BehaviorSubject(1.125);
    await open({ serving: { accepts: { perSecond } }, administering: { limits: { 'accepts.perSecond': perSecond } } });
    const field = page.getByLabel('Accepted in all', { exact: true });
    await soon(() => field.inputValue()).toBe('1.125');
    await field.press('Enter');
    await isSaid('Accepted in all: 1.125 is now 1.125');
    expect(perSecond.value).toBe(1.125);
  });

  it('drains all that a search for a part of an address finds when that is asked, and no other', async () => {
    await open();
    await world.connectAll(1, '127.0.1.1');
    await world.connectAll(1, '127.0.1.10');
    await page.locator('#search').fill('127.0.1.1');
    await becomes('#connections-count', '1 of 2');
    await page.locator('#search').fill('127.0.1.');
    await becomes('#connections-count', '2 of 2');
    await page.locator('#drain-all').click();
    await soon(() => text('#ask-title')).toBe('Drain all that match “127.0.1.” now?');
    await world.connectAll(1, '127.0.1.2');
    await confirm();
    await world.server.whenEmitted('closed', 2);
    await isSaid('all that match “127.0.1.” now: 2 connections are asked to finish');
    expect(world.admin.of('action')).toMatchObject([{ action: 'drain', ids: [1, 2], connections: 2 }]);
    await becomes('#connections-count', '1 of 1');
  });

  it('has no number twice on an axis of counts', async () => {
    await open({
      before: () =>
        page.addInitScript(() => {
          // @ts-expect-error: the code is that of a page.
          const { prototype } = CanvasRenderingContext2D;
          const { fillText, clearRect } = prototype;
          prototype.clearRect = function (...area: unknown[]) {
            this.canvas.drawn = [];
            clearRect.apply(this, area);
          };
          prototype.fillText = function (drawn: string, ...at: unknown[]) {
            this.canvas.drawn?.push(drawn);
            fillText.call(this, drawn, ...at);
          };
        }),
    });
    await becomes('#figure-active', '0');
    const numbers = () =>
      page.locator('.chart:last-child canvas').evaluate((canvas) => {
        const { drawn } = canvas as unknown as { drawn: string[] };
        return drawn.filter((one) => /^[\d,]+$/.test(one));
      });
    await soon(numbers).toEqual(['0', '1']);
  });

  it('is short on a phone: two lines a connection, and the first ones until more are asked for', async () => {
    await open({ width: 390 });
    world.concurrency.next(200);
    await world.connectAll(97);
    await becomes('#figure-active', '97');
    await becomes('#connections-count', '97, the first 20 shown');
    const heights = await page
      .locator('#connections tbody tr')
      .evaluateAll((rows) => rows.map((one) => one.getBoundingClientRect().height));
    expect(heights).toHaveLength(20);
    for (const height of heights) expect(height).toBeLessThan(65);
    await page.locator('#more').click();
    await becomes('#connections-count', '97, the first 60 shown');
    await page.locator('#more').click();
    await becomes('#connections-count', '97');
    expect(await page.locator('#more').isHidden()).toBe(true);
    expect(await page.locator('html').evaluate(({ scrollWidth }) => scrollWidth)).toBeLessThanOrEqual(390);
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
