// The program `server.ts` as the only worker of a cluster: the primary owns the port, and accepts for the worker.
import cluster from 'node:cluster';

if (cluster.isPrimary) cluster.fork();
else await import('./server.ts');
