import { spawnSync } from 'node:child_process';

/**
 * Whether specs that need external programs are skipped, with one line that says so. In CI, where everything must be checked, a
 * missing program is an error.
 *
 * @param what What is not checked then.
 * @param programs Each with an argument with which it ends at once.
 */
export function skippedWithout(what: string, programs: Readonly<Record<string, string>>): boolean {
  const missing = Object.entries(programs)
    .filter(([program, argument]) => spawnSync(program, [argument]).error !== undefined)
    .map(([program]) => program);
  if (missing.length === 0) return false;
  const sentence = `${missing.join(', ')} not installed: ${what} not checked`;
  if (process.env.CI !== undefined) throw new Error(sentence);
  console.warn(sentence);
  return true;
}
