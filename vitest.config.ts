import { defineConfig } from 'vitest/config';
import { overTls } from './spec/support/overTls/plugin.ts';

/** Specs with real programs, and demos that start many processes: minutes of real time, and real parts. */
const real = [
  'spec/admin/page.spec.ts',
  'spec/connection/upgradeNats.spec.ts',
  'spec/demos/admin.spec.ts',
  'spec/demos/bench.spec.ts',
  'spec/demos/chat.spec.ts',
  'spec/demos/deploy/{units,activated,notifySystemd}.spec.ts',
  'spec/demos/ingest/{ingest,jetstream,kill}.spec.ts',
  'spec/demos/memcached/{server,differential,binary.differential}.spec.ts',
  'spec/demos/load.spec.ts',
  'spec/demos/proxy*.spec.ts',
  'spec/demos/redis/{server,clients,restart,differential,protocol.differential}.spec.ts',
  'spec/demos/smtp/clients.spec.ts',
  'spec/proxyProtocol/haproxy.spec.ts',
];

export default defineConfig({
  plugins: process.env.SLUICE_TLS === '1' ? [overTls] : [],
  test: {
    // Processes, not threads: signals and process listeners are part of what is tested.
    pool: 'forks',
    // Many files wait more than they work, but some tell the time, and must not wait for a processor.
    maxWorkers: 2,
    // The models take seconds, and minutes on a busy machine. What never comes fails earlier, by `PATIENCE` of the support.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    setupFiles: ['spec/support/setup.ts'],
    projects: [
      // Loading RxJS and the library for each file anew would take longer than most files do.
      { extends: true, test: { name: 'sluice', include: ['spec/**/*.spec.ts'], exclude: real, isolate: false } },
      { extends: true, test: { name: 'real', include: real } },
    ],
  },
});
