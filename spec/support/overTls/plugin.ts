import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vitest/config';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const ROOT = at('../../');
/** What the replacements themselves need. */
const AS_WRITTEN = [at('./'), at('../certificates.ts')];
const isReplacedIn = (id: string) => id.startsWith(ROOT) && !AS_WRITTEN.some((path) => id.startsWith(path));

const REPLACED = ['serve', 'listen/listen', 'connect/connect', 'transport/node', 'index'].map((name) =>
  at(`../../../lib/${name}.ts`),
);

/**
 * With `SLUICE_TLS=1` specs that use real sockets run over TLS, as they are written: for them, and for nothing else, the front
 * doors of the library and `node:net` are replaced by modules of this folder. What it leaves out is in `skipped.ts`.
 */
export const overTls: Plugin = {
  name: 'over-tls',
  enforce: 'pre',
  async resolveId(source, importer, options) {
    if (importer === undefined || !isReplacedIn(importer)) return undefined;
    const resolved = await this.resolve(source, importer, { ...options, skipSelf: true });
    return resolved && REPLACED.includes(resolved.id) ? at('lib.ts') : undefined;
  },
  transform(code, id) {
    if (!isReplacedIn(id)) return undefined;
    return code.replace(/(from|import\() ?(['"])node:net\2/g, `$1 ${JSON.stringify(at('net.ts'))}`);
  },
};
