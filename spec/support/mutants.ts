import { configureGlobal } from 'fast-check';
import { beforeEach } from 'vitest';

// The same examples for each mutant. A failure is not made smaller, and a model takes a part of a second.
configureGlobal({ seed: 1, endOnFailure: true, interruptAfterTimeLimit: 300 });

/** What takes long by its nature, and would do so for each mutant that survives. */
const LONG = /loopback|mebibyte|million|processor time|thousand|\b1000\b|on real sockets/;

beforeEach(({ task, skip }) => {
  for (let at: { name: string; suite?: { name: string } | undefined } | undefined = task; at; at = at.suite) {
    skip(LONG.test(at.name));
  }
});
