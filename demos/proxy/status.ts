import { count, paint } from '../support/index.ts';
import type { Backend } from './backend.ts';

/** One line per backend for the terminal: whether it is up, and its connections. */
export function backendLines(backends: readonly Backend[]): string[] {
  const width = Math.max(...backends.map(({ name }) => name.length));
  return backends.map(({ name, up, active, served }) => {
    const mark = up ? paint('green', '●') : paint('red', '○');
    const state = up ? '' : paint('red', '   down');
    return `  ${mark} ${name.padEnd(width)}   ${paint('bold', count(active))} connections   ${count(served)} in all${state}`;
  });
}
