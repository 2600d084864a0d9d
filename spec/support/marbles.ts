import { TestScheduler } from 'rxjs/testing';
import { expect } from 'vitest';

type RunHelpers = Parameters<Parameters<TestScheduler['run']>[0]>[0];

/** Runs a test on virtual time: `it('…', marbles(({ hot, expectObservable }) => { … }))`. */
export const marbles = (test: (helpers: RunHelpers) => void) => () =>
  new TestScheduler((actual, expected) => expect(actual).toEqual(expected)).run(test);
