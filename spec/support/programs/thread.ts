// The program `server.ts` in a worker thread.
import { Worker } from 'node:worker_threads';

// The loader of this thread does not load TypeScript in other threads in all releases of Node.
const load = `import('tsx/esm/api').then(({ tsImport }) => tsImport('./server.ts', ${JSON.stringify(import.meta.url)}))`;
new Worker(load, { eval: true, argv: process.argv.slice(2) });
