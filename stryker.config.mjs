/**
 * A mutation run. It changes the code in one place at a time, and a spec has to fail. `SAMPLE=0.2` takes a fifth of the mutants,
 * the same in each run.
 */
const sample = process.env.SAMPLE !== undefined;

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: ['lib/{connection,listen,shutdown,flow,framing,proxyProtocol}/**/*.ts'],
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner', './spec/support/sampleMutants.mjs'],
  checkers: sample ? ['sample'] : [],
  vitest: { configFile: 'vitest.mutants.config.ts', related: false },
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  concurrency: Number(process.env.CONCURRENCY ?? 1),
  // Long, because a run on a busy machine must not count as an endless loop. Stryker ends most of those by counting hits.
  timeoutMS: 60_000,
  timeoutFactor: 4,
  dryRunTimeoutMinutes: 15,
  reporters: ['progress-append-only', 'clear-text', 'json'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: 'mutants/report.json' },
  tempDirName: 'mutants/sandbox',
  ignorePatterns: ['demos/bench', 'dist', 'mutants'],
  // Stryker rewrites a tsconfig with the API of TypeScript 5, which TypeScript 7 does not have. Ours needs no rewriting.
  tsconfigFile: 'none',
};
