// Writes the picture of the live page that is in the guides: `node --import tsx spec/admin/picture.ts`. It is of a real run, with
// clients on the loopback: some are busy, one address has most of the connections, and some wait. It takes four minutes, and needs
// Chromium.
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { BehaviorSubject, map, share } from 'rxjs';
import { admin } from '../../lib/admin/index.ts';
import { encodeLine, lines, serve } from '../../lib/index.ts';
import { startBrowser } from '../support/browser.ts';

/** As many as the charts show. */
const SECONDS = 240;
const PAGE = { width: 1340, height: 640 };
const file = fileURLToPath(new URL('../../lib/admin/livePage.webp', import.meta.url));

const concurrency = new BehaviorSubject(60);
const idle = new BehaviorSubject(30_000);
const options = { concurrency, idle, greeting: 20_000, waiting: { timeout: 20_000 }, perAddress: { connections: 50 } };
const events = serve({ port: 0, host: '127.0.0.1' }, (client) => client.pipe(lines(), map(encodeLine)), options).pipe(
  share(),
);
const opened = new Promise<string>((resolve) => {
  admin(events, { port: 0, limits: { concurrency, idle } }).subscribe(
    (event) => event.type === 'listening' && resolve(event.url),
  );
});
const listening = new Promise<number>((resolve) => {
  events.subscribe((event) => event.type === 'listening' && resolve(event.address.port ?? 0));
});
const [url, port] = [await opened, await listening];

/** A client that stays for some seconds and sends lines. */
function visit(): void {
  const host = Math.random() < 0.4 ? 9 : 2 + Math.floor(Math.random() * 6);
  const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${host}` });
  const size = 10 ** (1 + 3 * Math.random());
  const sending = setInterval(() => socket.write(`${'x'.repeat(size)}\n`), 100 + 400 * Math.random());
  const ending = setTimeout(() => socket.end(), 1000 + 12_000 * Math.random());
  socket.resume().on('error', () => {});
  socket.on('close', () => {
    clearInterval(sending);
    clearTimeout(ending);
  });
}

const browser = await startBrowser();
const page = await browser.newPage({ viewport: PAGE });
await page.goto(url);
const started = Date.now();
const arrivals = setInterval(() => {
  const rate = 1 + Math.sin((Date.now() - started) / 15_000);
  if (Math.random() < 0.55 * rate) visit();
}, 100);
await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
clearInterval(arrivals);
const png = await page.screenshot({ type: 'png' });
// Chromium writes WebP, which is smaller, from a canvas only.
const blank = await browser.newPage();
const source = JSON.stringify(`data:image/png;base64,${png.toString('base64')}`);
// As text, because its types are those of a browser.
const data = await blank.evaluate<string>(`(async () => {
  const image = Object.assign(new Image(), { src: ${source} });
  await image.decode();
  const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas.toDataURL('image/webp', 0.8);
})()`);
const picture = Buffer.from(data.replace(/^.*,/, ''), 'base64');
await writeFile(file, picture);
console.log(`${file}: ${picture.length} bytes`);
process.exit();
