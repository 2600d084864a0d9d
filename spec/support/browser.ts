import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

/** Debian's. */
const executablePath = '/usr/bin/chromium';

/** Whether there is a browser. With `CI` it is not asked: a spec that needs one fails, and is not skipped. */
export const hasBrowser = process.env.CI !== undefined || existsSync(executablePath);

/** Starts the browser. As root it has no sandbox. */
export const startBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath, args: ['--no-sandbox', '--enable-precise-memory-info'] });
