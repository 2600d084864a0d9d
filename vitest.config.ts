import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['spec/**/*.spec.ts'],
    // Threads are cheaper than processes; specs that need a process of their own spawn one.
    pool: 'threads',
    testTimeout: 20_000,
    hookTimeout: 20_000,
    setupFiles: ['spec/support/setup.ts'],
  },
});
