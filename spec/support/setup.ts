import { afterEach, expect } from 'vitest';

/** An error that reaches nobody is a defect wherever it happens: it fails the spec during which it was seen. */
const stray: unknown[] = [];
process.on('uncaughtException', (error) => stray.push(error));
process.on('unhandledRejection', (error) => stray.push(error));

afterEach(() => {
  expect(stray.splice(0), 'errors that nobody caught').toEqual([]);
});
