import { configureGlobal } from 'fast-check';
import { beforeEach } from 'vitest';

// Each mutant is tested with the same examples. A failure is not shrunk, and a property runs for a part of a second.
configureGlobal({ seed: 1, endOnFailure: true, interruptAfterTimeLimit: 300 });

/** Names of tests that take long, and would do so for each mutant that survives. */
const LONG =
  /loopback|byte by byte|million|processor time|thousand|\b\d{1,3} ?000\b|on real sockets|around the limit|^a process$/;

beforeEach(({ task, skip }) => {
  for (let at: { name: string; suite?: { name: string } | undefined } | undefined = task; at; at = at.suite) {
    skip(LONG.test(at.name));
  }
});
