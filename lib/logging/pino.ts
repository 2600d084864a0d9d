import { createRequire } from 'node:module';
import type { Logger } from 'pino';
import { boundedStdout } from './boundedStdout.ts';

/** A pino logger to standard output. This is the only function that loads pino. */
export const pinoLogger = (): Logger => load().pino({}, boundedStdout);

/**
 * Loads pino on demand. Where the package is installed, Node resolves it. A bundler finds the last `require` below and includes
 * pino in the bundle, which may run without `node_modules`. An ES module made by esbuild then loads Node's own modules by a
 * global `require`.
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
