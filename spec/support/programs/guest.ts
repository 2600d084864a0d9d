// Imports the library, listens, is asked one thing, closes, and says what has become of the process's own listeners.
import { connect } from 'node:net';
import { Subject } from 'rxjs';
import { serve, signals } from '../../../lib/index.ts';

const listeners = () => JSON.stringify(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
const say = (what: string) => process.stdout.write(`${what} ${listeners()}\n`);
const stop = new Subject<void>();

// A turn later: whatever started this program is done with its own.
setImmediate(() => {
  say('before');
  serve({ port: 0, host: '127.0.0.1' }, (connection) => connection, { shutdown: stop }).subscribe({
    next: (event) => {
      if (event.type !== 'listening') return;
      process.stdout.write(`${JSON.stringify(event)}\n`);
      say('listening');
      const subscription = signals().subscribe();
      say('with signals');
      subscription.unsubscribe();
      const client = connect(event.address.port ?? 0, '127.0.0.1', () => client.end('x'));
      client.resume().on('close', () => stop.next());
    },
    complete: () => say('after'),
  });
});
