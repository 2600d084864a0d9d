/**
 * A mutation run: one change to the code at a time, and a spec has to fail. Such as
 * `npm run mutants -- --mutate 'lib/listen/**\/*.ts'`, and `SAMPLE=0.2 npm run mutants` for a fifth of all, always the same.
 */
const sample = process.env.SAMPLE !== undefined;

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: ['lib/{connection,listen,shutdown,flow,framing}/**/*.ts'],
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner', './spec/support/sampleMutants.mjs'],
  checkers: sample ? ['sample'] : [],
  vitest: { configFile: 'vitest.mutants.config.ts', related: false },
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  concurrency: Number(process.env.CONCURRENCY ?? 1),
  // A busy machine is not to be taken for a loop without an end: those are mostly seen by how often a mutant is reached.
  timeoutMS: 60_000,
  timeoutFactor: 4,
  dryRunTimeoutMinutes: 15,
  reporters: ['progress-append-only', 'clear-text', 'json'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: 'mutants/report.json' },
  tempDirName: 'mutants/sandbox',
  ignorePatterns: ['demos/bench', 'dist', 'mutants'],
  // Only to move what a tsconfig refers to, which nothing here does.
  tsconfigFile: 'none',
};
