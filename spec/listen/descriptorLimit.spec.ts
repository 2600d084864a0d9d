import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { afterEach, describe, expect, it } from 'vitest';
import { descriptorLimit } from '../../lib/listen/descriptorLimit.ts';

const { readFileSync } = fs;

/** Lets `/proc/self/limits` be read as the given text. */
function withLimits(read: () => string): number {
  fs.readFileSync = read as unknown as typeof readFileSync;
  syncBuiltinESMExports();
  return descriptorLimit();
}

afterEach(() => {
  fs.readFileSync = readFileSync;
  syncBuiltinESMExports();
});

describe('the limit of descriptors', () => {
  it.skipIf(!fs.existsSync('/proc/self/limits'))('is the soft limit of the process', () => {
    const limit = execFileSync('sh', ['-c', 'ulimit -S -n'], { encoding: 'utf8' }).trim();
    expect(descriptorLimit()).toBe(limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit));
  });

  it('is the first number of its line', () => {
    const limits = [
      'Limit                     Soft Limit           Hard Limit           Units     ',
      'Max processes             95932                95932                processes ',
      'Max open files            1024                 1048576              files     ',
    ];
    expect(withLimits(() => limits.join('\n'))).toBe(1024);
  });

  it('is infinite where the system sets none', () => {
    expect(withLimits(() => 'Max open files            unlimited            unlimited            files')).toBe(
      Number.POSITIVE_INFINITY,
    );
  });

  it('is infinite where the system does not report it', () => {
    const missing = () => {
      throw new Error('ENOENT');
    };
    expect(withLimits(missing)).toBe(Number.POSITIVE_INFINITY);
  });
});
