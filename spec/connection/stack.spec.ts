import { expect, it, vi } from 'vitest';

it('requires stack for a compilation of the code of a rare change, however often another change was made', async () => {
  vi.resetModules();
  const { hasStack } = await import('../../lib/connection/stack.ts');
  for (let ends = 0; ends < 1000; ends++) hasStack('end');
  let rare: boolean | undefined;
  // Fills the stack, and queries both while it unwinds: the first frame with room for an end has none for a compilation.
  const recurse = (): void => {
    try {
      recurse();
    } finally {
      if (rare === undefined && hasStack('end')) rare = hasStack('abort');
    }
  };
  expect(recurse).toThrow(RangeError);
  expect(rare).toBe(false);
  expect([hasStack('end'), hasStack('abort')]).toEqual([true, true]);
});
