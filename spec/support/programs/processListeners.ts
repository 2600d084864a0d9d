// Imports the library, listens, serves one client, closes, and prints the listeners of the process at each step.
import { connect } from 'node:net';
import { Subject } from 'rxjs';
import { serve, signals } from '../../../lib/index.ts';

const listeners = () => JSON.stringify(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
const print = (what: string) => process.stdout.write(`${what} ${listeners()}\n`);
const stop = new Subject<void>();

// In the next iteration, when the loader of this program has added its own listeners.
setImmediate(() => {
  print('before');
  serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { shutdown: stop }).subscribe({
    next: (event) => {
      if (event.type !== 'listening') return;
      process.stdout.write(`${JSON.stringify(event)}\n`);
      print('listening');
      const subscription = signals().subscribe();
      print('with signals');
      subscription.unsubscribe();
      const client = connect(event.address.port ?? 0, '127.0.0.1', () => client.end('x'));
      client.resume().on('close', () => stop.next());
    },
    complete: () => print('after'),
  });
});
