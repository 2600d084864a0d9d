// Part of `npm run build`: copies the live page to `dist`, and uPlot beside it, so that the package needs nothing at run time.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const page = new URL('page/', import.meta.url);
const dist = new URL('../../dist/admin/page/', import.meta.url);
const uplot = new URL('../../node_modules/uplot/', import.meta.url);

mkdirSync(dist, { recursive: true });
for (const name of readdirSync(page)) {
  if (name !== 'tsconfig.json') copyFileSync(new URL(name, page), new URL(name, dist));
}

// Its licence asks for the notice in all copies.
const notice = `/*! uPlot, https://github.com/leeoniya/uPlot\n\n${readFileSync(new URL('LICENSE', uplot), 'utf8').trim()}\n*/\n`;
for (const [from, to] of [
  ['dist/uPlot.iife.min.js', 'uplot.js'],
  ['dist/uPlot.min.css', 'uplot.css'],
]) {
  writeFileSync(new URL(to, dist), notice + readFileSync(new URL(from, uplot), 'utf8'));
}
