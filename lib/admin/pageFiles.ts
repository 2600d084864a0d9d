import { readFile } from 'node:fs/promises';

/** A file of the page, as it is served. */
export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

const HTML = 'text/html; charset=utf-8';
const CSS = 'text/css; charset=utf-8';
const SCRIPT = 'text/javascript; charset=utf-8';

/** By path: the media type, and where the file is, seen from here. */
const FILES: Readonly<Record<string, readonly [type: string, ...places: string[]]>> = {
  '/': [HTML, 'page/index.html'],
  '/page.css': [CSS, 'page/page.css'],
  '/icon.svg': ['image/svg+xml', 'page/icon.svg'],
  ...Object.fromEntries(
    ['page', 'actions', 'api', 'charts', 'closes', 'connections', 'dom', 'figures', 'format', 'limits', 'live'].map(
      (name) => [`/${name}.js`, [SCRIPT, `page/${name}.js`]],
    ),
  ),
  // The build copies it; in this repository it is where npm has put it.
  '/uplot.js': [SCRIPT, 'page/uplot.js', '../../node_modules/uplot/dist/uPlot.iife.min.js'],
  '/uplot.css': [CSS, 'page/uplot.css', '../../node_modules/uplot/dist/uPlot.min.css'],
};

/** The paths of the page. */
export const pagePaths: readonly string[] = Object.keys(FILES);

/**
 * Reads the files of the page. All at once and when the port opens, because a server whose descriptors are exhausted could not
 * read them later. Those that are not there are absent: a program that was bundled into one file has none.
 */
export async function readPage(): Promise<ReadonlyMap<string, PageFile>> {
  const found = await Promise.all(
    Object.entries(FILES).map(async ([path, [type, ...places]]) => {
      for (const place of places) {
        const content = await readFile(new URL(place, import.meta.url)).catch(() => undefined);
        if (content !== undefined) return [path, { type, content }] as const;
      }
      return undefined;
    }),
  );
  return new Map(found.filter((entry) => entry !== undefined));
}
