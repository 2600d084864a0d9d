import { afterEach, describe, expect, it } from 'vitest';
import { signals } from '../../lib/shutdown/signals.ts';
import { client, closeClients } from '../support/client.ts';
import { endPrograms, Program } from '../support/program.ts';

afterEach(() => {
  closeClients();
  endPrograms();
});

describe('signals', () => {
  it('emits the names of signals as they come, and listens only while it is subscribed', () => {
    const before = [process.listenerCount('SIGUSR2'), process.listenerCount('SIGHUP')];
    const seen: string[] = [];
    const shutdown = signals('SIGUSR2', 'SIGHUP', 'SIGUSR2');
    expect(process.listenerCount('SIGUSR2')).toBe(before[0]);
    const subscription = shutdown.subscribe((name) => seen.push(name));
    process.emit('SIGUSR2', 'SIGUSR2');
    process.emit('SIGHUP', 'SIGHUP');
    process.emit('SIGUSR2', 'SIGUSR2');
    subscription.unsubscribe();
    expect(seen).toEqual(['SIGUSR2', 'SIGHUP', 'SIGUSR2']);
    expect([process.listenerCount('SIGUSR2'), process.listenerCount('SIGHUP')]).toEqual(before);
  });

  it('is SIGINT and SIGTERM if nothing else is said', () => {
    const before = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
    const subscription = signals().subscribe();
    const during = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
    subscription.unsubscribe();
    expect(during.map((count, index) => count - (before[index] ?? 0))).toEqual([1, 1]);
  });
});

describe('a process', () => {
  it('has the listeners it had after import, listening and closing, and exits by itself', async () => {
    const guest = new Program('guest');
    await guest.whenExited();
    expect(guest.exit).toBe(0);
    const said = guest.said.trim().split('\n');
    const [before, listening, during, after] = said.map((line) => JSON.parse(line.slice(line.indexOf('['))));
    // Node's own and the loader's: importing the library has added none.
    expect(before.map(([name]: [string]) => name).sort()).toEqual(['newListener', 'removeListener', 'warning']);
    expect(listening).toEqual(before);
    expect(during).toEqual([...before, ['SIGINT', 1], ['SIGTERM', 1]]);
    expect(after).toEqual(before);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('drains on %s, and exits with 0 when it is over', async (signal) => {
    const server = new Program('server');
    const port = await server.whenListening();
    const one = await client(port).write('hello\n').whenRead('hello\n');
    server.kill(signal);
    await one.whenClosed();
    expect(one.fault).toBeUndefined();
    await server.whenExited();
    expect(server.exit).toBe(0);
    expect(server.report).toMatchObject({ drained: 1, aborted: 0 });
  });

  it('breaks off on a second signal', async () => {
    const server = new Program('server', { options: { grace: 60_000, frame: 60_000 } });
    const port = await server.whenListening();
    // A frame that has begun and does not end: the drain waits for it.
    const one = await client(port).write('hello\nhal').whenRead('hello\n');
    server.kill('SIGTERM');
    await server.whenSaid('draining');
    expect(one.closed).toBe(false);
    server.kill('SIGTERM');
    await one.whenClosed();
    expect(one.fault).toBe('ECONNRESET');
    await server.whenExited();
    expect(server.exit).toBe(0);
    expect(server.report).toMatchObject({ drained: 0, aborted: 1 });
  });
});
