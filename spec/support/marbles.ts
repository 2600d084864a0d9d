import { TestScheduler } from 'rxjs/testing';
import { expect } from 'vitest';

type RunHelpers = Parameters<Parameters<TestScheduler['run']>[0]>[0] & {
  /** The scheduler itself: the clock to pass where an option asks for one. */
  readonly clock: TestScheduler;
};

/** Runs a test on virtual time: `it('…', marbles(({ hot, expectObservable }) => { … }))`. */
export const marbles = (test: (helpers: RunHelpers) => void) => () => {
  const clock = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
  clock.run((helpers) => test({ ...helpers, clock }));
};
