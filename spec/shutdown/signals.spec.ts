import { take } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { signals } from '../../lib/shutdown/signals.ts';
import { client, closeClients } from '../support/client.ts';
import { endPrograms, Program } from '../support/program.ts';

/** Advances the time by so many milliseconds. */
function pass(ms: number): void {
  const now = performance.now() + ms;
  vi.spyOn(performance, 'now').mockReturnValue(now);
}

afterEach(() => {
  vi.restoreAllMocks();
  closeClients();
  endPrograms();
});

describe('signals', () => {
  it.each(['SIGFOO', 'term', undefined, 15])('throw for %o, which is not the name of a signal', (name) => {
    expect(() => signals(name as NodeJS.Signals)).toThrow(TypeError);
  });

  it('emits the names of signals as they arrive, and listens only while it is subscribed to', () => {
    const before = [process.listenerCount('SIGUSR2'), process.listenerCount('SIGHUP')];
    const seen: string[] = [];
    const shutdown = signals('SIGUSR2', 'SIGHUP', 'SIGUSR2');
    expect(process.listenerCount('SIGUSR2')).toBe(before[0]);
    const subscription = shutdown.subscribe((name) => seen.push(name));
    for (const name of ['SIGUSR2', 'SIGHUP', 'SIGUSR2'] as const) {
      process.emit(name, name);
      pass(250);
    }
    subscription.unsubscribe();
    expect(seen).toEqual(['SIGUSR2', 'SIGHUP', 'SIGUSR2']);
    expect([process.listenerCount('SIGUSR2'), process.listenerCount('SIGHUP')]).toEqual(before);
  });

  it('counts signals that arrive within a quarter of a second as one', () => {
    const seen: string[] = [];
    const subscription = signals('SIGUSR2', 'SIGHUP').subscribe((name) => seen.push(name));
    for (const name of ['SIGUSR2', 'SIGUSR2', 'SIGHUP'] as const) {
      process.emit(name, name);
      pass(100);
    }
    expect(seen).toEqual(['SIGUSR2']);
    process.emit('SIGUSR2', 'SIGUSR2');
    subscription.unsubscribe();
    expect(seen).toEqual(['SIGUSR2', 'SIGUSR2']);
  });

  it('has one listener of the process for each signal while any server is subscribed, and none afterwards', () => {
    const warned: unknown[] = [];
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation((what) => void warned.push(what));
    const before = process.listenerCount('SIGUSR2');
    let seen = 0;
    const all = Array.from({ length: 20 }, () => signals('SIGUSR2').subscribe(() => seen++));
    expect(process.listenerCount('SIGUSR2')).toBe(before + 1);
    process.emit('SIGUSR2', 'SIGUSR2');
    expect(seen).toBe(20);
    for (const one of all.slice(1)) one.unsubscribe();
    expect(process.listenerCount('SIGUSR2')).toBe(before + 1);
    all[0]?.unsubscribe();
    expect(process.listenerCount('SIGUSR2')).toBe(before);
    expect(warned).toEqual([]);
    warn.mockRestore();
  });

  it('emits to a subscriber that unsubscribes in that call, and to all subscribers after it', () => {
    const seen: number[] = [];
    const all = [1, 2, 3].map((id) =>
      signals('SIGUSR2')
        .pipe(take(1))
        .subscribe(() => seen.push(id)),
    );
    process.emit('SIGUSR2', 'SIGUSR2');
    expect([seen, all.map(({ closed }) => closed)]).toEqual([
      [1, 2, 3],
      [true, true, true],
    ]);
    expect(process.listenerCount('SIGUSR2')).toBe(0);
  });

  it('listens again after other code has removed its listener', () => {
    const one = signals('SIGUSR2').subscribe();
    process.removeAllListeners('SIGUSR2');
    let seen = 0;
    const other = signals('SIGUSR2').subscribe(() => seen++);
    process.emit('SIGUSR2', 'SIGUSR2');
    expect(seen).toBe(1);
    one.unsubscribe();
    other.unsubscribe();
  });

  it('listens for SIGINT and SIGTERM by default', () => {
    const before = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
    const subscription = signals().subscribe();
    const during = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')];
    subscription.unsubscribe();
    expect(during.map((count, index) => count - (before[index] ?? 0))).toEqual([1, 1]);
  });
});

describe('a process', () => {
  it('has the same listeners after importing, listening and closing, and exits by itself', async () => {
    const program = new Program('processListeners');
    await program.whenExited();
    expect(program.exit).toBe(0);
    const lines = program.output.trim().split('\n');
    const [before, listening, during, after] = lines.map((line) => JSON.parse(line.slice(line.indexOf('['))));
    // These are listeners of Node and of the loader: importing the library has added none.
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

  it('aborts connections on a second signal', async () => {
    const server = new Program('server', { options: { grace: 60_000, frame: 60_000 } });
    const port = await server.whenListening();
    // A frame that has begun and does not end: the drain waits for it.
    const one = await client(port).write('hello\nhal').whenRead('hello\n');
    server.kill('SIGTERM');
    await server.whenEmitted('draining');
    expect(one.closed).toBe(false);
    // Not at once, because a signal within 250 ms counts as the same. One signal only, because a process that is about to exit
    // has no listener, and a further signal would kill it.
    const again = setTimeout(() => server.kill('SIGTERM'), 600);
    await one.whenClosed();
    clearTimeout(again);
    expect(one.fault).toBe('ECONNRESET');
    await server.whenExited();
    expect(server.exit).toBe(0);
    expect(server.report).toMatchObject({ drained: 0, aborted: 1 });
  });
});
