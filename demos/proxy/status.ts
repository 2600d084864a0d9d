import { count, paint } from '../support/index.ts';
import type { Backend } from './backend.ts';

/** Each backend on a line for the terminal: whether it is up, and how many are with it. */
export function backendLines(backends: readonly Backend[]): string[] {
  const width = Math.max(...backends.map(({ name }) => name.length));
  return backends.map(({ name, up, active, served }) => {
    const mark = up ? paint('green', '●') : paint('red', '○');
    const state = up ? '' : paint('red', '   down');
    return `  ${mark} ${name.padEnd(width)}   ${paint('bold', count(active))} connections   ${count(served)} in all${state}`;
  });
}
