import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** One failure kills a mutant. So the files that failed in the last run come first, and then the quick ones. */
class FailingFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // The longest first.
    const sorted = await super.sort(files);
    const failed = (file: TestSpecification) =>
      this.ctx.cache.getFileTestResults(`:${file.moduleId.slice(this.ctx.config.root.length + 1)}`)?.failed === true;
    return [...sorted.filter(failed), ...sorted.filter((file) => !failed(file)).reverse()];
  }
}

/**
 * The specs of a mutation run. A spec file may run a thousand times in it, so each takes milliseconds. Left out are specs
 * that start processes, need a process of their own, use real sockets, exhaust the stack, or wait in real time. `SPECS` is a
 * pattern for those of one folder, such as `spec/framing/*.spec.ts`.
 */
export default defineConfig({
  test: {
    include: [process.env.SPECS ?? 'spec/**/*.spec.ts'],
    exclude: [
      'spec/demos/**',
      'spec/{package,readme}.spec.ts',
      'spec/**/guide.spec.ts',
      'spec/logging/**',
      'spec/proxyProtocol/haproxy.spec.ts',
      'spec/connect/sockets.spec.ts',
      'spec/connection/{failedWrite,sockets}.spec.ts',
      'spec/framing/work.spec.ts',
      'spec/listen/{exhausted,inheritedDescriptor}.spec.ts',
      'spec/serve/{asyncContext,faults,freeze,userCode}.spec.ts',
      'spec/shutdown/{drain.model,frozen,load}.spec.ts',
      'spec/time/{deadlineTimer,fakes}.spec.ts',
      'spec/transport/**',
    ],
    isolate: false,
    testTimeout: 20_000,
    setupFiles: ['spec/support/setup.ts', 'spec/support/mutants.ts'],
    sequence: { sequencer: FailingFirst },
  },
});
