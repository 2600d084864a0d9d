import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** A mutant is dead with its first failure: the file that failed last comes first, then those that are quick. */
class FailingFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // The order of what it extends: those that failed, then those that take longest.
    const sorted = await super.sort(files);
    const failed = (file: TestSpecification) =>
      this.ctx.cache.getFileTestResults(`:${file.moduleId.slice(this.ctx.config.root.length + 1)}`)?.failed === true;
    return [...sorted.filter(failed), ...sorted.filter((file) => !failed(file)).reverse()];
  }
}

/**
 * The specs of a mutation run, each of which may run a thousand times: in memory, on virtual time, in milliseconds.
 * Without those that start processes, use real sockets, exhaust the stack, wait in real time, or measure it.
 */
export default defineConfig({
  test: {
    include: ['spec/**/*.spec.ts'],
    exclude: [
      'spec/demos/**',
      'spec/{package,readme}.spec.ts',
      'spec/testing/guide.spec.ts',
      'spec/logging/**',
      'spec/connect/sockets.spec.ts',
      'spec/connection/{lastWords,sockets}.spec.ts',
      'spec/framing/work.spec.ts',
      'spec/listen/{descriptor,exhausted,silentDeath,spell}.spec.ts',
      'spec/serve/{asyncContext,faults,freeze,userCode}.spec.ts',
      'spec/shutdown/{drain.model,frozen,load,signals}.spec.ts',
      'spec/time/{alarm,fakes}.spec.ts',
      'spec/transport/**',
    ],
    isolate: false,
    testTimeout: 20_000,
    setupFiles: ['spec/support/setup.ts', 'spec/support/mutants.ts'],
    sequence: { sequencer: FailingFirst },
  },
});
