// The server beside this as the one worker of a cluster: its port is the primary's, which accepts for it.
import cluster from 'node:cluster';

if (cluster.isPrimary) cluster.fork();
else await import('./server.ts');
