import { expect, it, vi } from 'vitest';

it('keeps the room of a compiler for a change that is rare, however often others were made', async () => {
  vi.resetModules();
  const { hasStack } = await import('../../lib/connection/stack.ts');
  for (let ends = 0; ends < 1000; ends++) hasStack('end');
  let rare: boolean | undefined;
  // Fills the stack, and looks as its frames are left: the first that has room for an end has none for a compiler.
  const fall = (): void => {
    try {
      fall();
    } finally {
      if (rare === undefined && hasStack('end')) rare = hasStack('abort');
    }
  };
  expect(fall).toThrow(RangeError);
  expect(rare).toBe(false);
  expect([hasStack('end'), hasStack('abort')]).toEqual([true, true]);
});
