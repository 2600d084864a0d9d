import { setTimeout as pause } from 'node:timers/promises';
import { type Browser, chromium } from 'playwright-core';
import { cores, pin } from '../proc/pinned.ts';

/** Debian's program. */
const BROWSER = '/usr/bin/chromium';

/** Milliseconds from one scrape to the next: Prometheus asks every 15 s by default. */
const SCRAPES = 100;

/** Browsers that show the live page. */
const BROWSERS = 2;

/** What watches a server. */
export interface Watch {
  stop(): Promise<void>;
}

/**
 * Watches a server as operators do, but harder: scrapes its metrics ten times a second, and shows its live page in two browsers. They
 * run on the core of the load.
 *
 * @param url Of the live page, with the token.
 * @throws Error when a scrape fails, or when the page shows nothing.
 */
export async function watch(url: string): Promise<Watch> {
  const scrapes = new AbortController();
  const scraping = scrape(new URL('/metrics', url), scrapes.signal);
  // Handled here, because it may fail before it is awaited.
  scraping.catch(() => undefined);
  const browsers: Browser[] = [];
  const stop = async () => {
    scrapes.abort();
    for (const browser of browsers) await browser.close();
    await scraping;
  };
  try {
    // A browser starts many processes, which inherit the core of this one.
    await pin(process.pid, cores.load);
    for (let left = BROWSERS; left > 0; left--) browsers.push(await show(url));
    await pin(process.pid);
    return { stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function show(url: string): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox'] });
  const page = await browser.newPage();
  await page.goto(url);
  await page.getByRole('heading', { level: 1 }).waitFor();
  return browser;
}

async function scrape(url: URL, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const response = await fetch(url);
    const text = await response.text();
    if (!response.ok || !text.includes('sluice_active_connections'))
      throw new Error(`The metrics could not be read: ${response.status} ${text}`);
    await pause(SCRAPES, undefined, { signal }).catch(() => undefined);
  }
}
