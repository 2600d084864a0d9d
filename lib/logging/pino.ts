import { createRequire } from 'node:module';
import type { Logger } from 'pino';
import { boundedStdout } from './boundedStdout.ts';

/** A pino logger to the standard output. pino is loaded here, and nowhere else. */
export const pinoLogger = (): Logger => load().pino({}, boundedStdout);

/**
 * Loads pino when it is asked for. Beside an installed package Node finds it. A bundler finds the last `require` and takes
 * pino into the bundle, which may stand alone; an ES module of esbuild's then looks for Node's own modules with a global
 * `require`.
 */
function load(): typeof import('pino') {
  const fromHere = createRequire(import.meta.url ?? '/');
  try {
    return fromHere('pino');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND' || typeof require === 'undefined') throw error;
  }
  const scope = globalThis as { require?: unknown };
  const had = 'require' in scope;
  if (!had) scope.require = fromHere;
  try {
    return require('pino');
  } finally {
    if (!had) delete scope.require;
  }
}
