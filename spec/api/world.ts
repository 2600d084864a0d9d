// Where the programs in doc-comments and guides run: their port is free, a client talks to each server, and what they print is kept.
import { connect as dial } from 'node:net';
import { format } from 'node:util';
import { defer, finalize, Subject, takeUntil, tap } from 'rxjs';
import * as library from '../../lib/index.ts';

export * from '../../lib/index.ts';

/** What became of a program. */
export interface Run {
  readonly printed: string[];
  readonly failures: string[];
}

/** In place of a database: what an example looks up is found, under its own name. */
export const database = {
  find: async (name: string, _options?: { readonly signal: AbortSignal }): Promise<string> => name,
};

const echo = (client: library.Connection) => client;
/** The end of the example that runs. */
const over = new Subject<void>();
/** What the example that runs has begun: servers that a client has to get an answer from, and connections. */
let begun: Promise<void>[] = [];
let current: Run = { printed: [], failures: [] };

const fail = (error: unknown) => void current.failures.push(format(error));

/** What happens to a server of an example. */
function observe(event: library.ServerEvent, reached: Reached): void {
  if (event.type === 'listening' && event.address.port) reached(event.address.port);
  if (event.type === 'failed') fail(event.error);
}

/** The ports that examples name. */
const PORTS: readonly unknown[] = [7000, 7001, 7002];
const isNamed = (where: object): boolean => 'port' in where && PORTS.includes(where.port);

export const serve: typeof library.serve = (where, handler, options) => {
  if (!isNamed(where)) return library.serve(where, handler, options).pipe(takeUntil(over));
  return defer(() => {
    const reached = promised();
    const server = library.serve({ port: 0, host: '127.0.0.1' }, handler, options);
    return server.pipe(
      takeUntil(over),
      tap((event) => observe(event, reached)),
      finalize(() => reached(undefined)),
    );
  });
};

export const listen: typeof library.listen = (_where, options) =>
  defer(() => {
    const reached = promised();
    const next = (event: library.ListenEvent) => {
      observe(event, reached);
      options?.events?.next(event);
    };
    const port = library.listen({ port: 0, host: '127.0.0.1' }, { ...options, events: { next } });
    return port.pipe(
      takeUntil(over),
      finalize(() => reached(undefined)),
    );
  });

/** Connects to an echo server, unless it is to a server of the example. */
export const connect: typeof library.connect = (where, options) => {
  if (!isNamed(where)) return library.connect(where, options);
  return defer(() => {
    const isMade = new Promise<void>((resolve) => {
      made = resolve;
    });
    begun.push(isMade);
    return library.connect({ port: echoPort, host: '127.0.0.1' }, options).pipe(
      takeUntil(over),
      tap(() => made()),
    );
  });
};
let made = () => {};
let echoPort = 0;

/** Waits for a server to open, and then for an answer from it; or for its end. */
function promised(): Reached {
  let isReached: Reached = () => {};
  const port = new Promise<number | undefined>((resolve) => {
    isReached = resolve;
  });
  begun.push(port.then((open) => (open === undefined ? undefined : talk(open))));
  return (open) => isReached(open);
}

/** Called with the port of a server when it is open, and with `undefined` when the server is over. */
type Reached = (port: number | undefined) => void;

/** Sends a line and a FIN, and waits for anything from the server, or the end. */
function talk(port: number): Promise<void> {
  return new Promise((resolve) => {
    const client = dial(port, '127.0.0.1', () => client.end('hello\n'));
    for (const event of ['data', 'close', 'error']) client.on(event, () => resolve());
  });
}

/** Runs one program after the other, and prints a list of {@link Run}s as JSON. */
export async function runAll(programs: readonly { readonly file: string; readonly prints: number }[]): Promise<never> {
  const print = console.log;
  console.log = (...values: unknown[]) => void current.printed.push(...format(...values).split('\n'));
  process.on('uncaughtException', fail);
  await new Promise<void>((resolve) => {
    library.serve({ port: 0, host: '127.0.0.1' }, echo).subscribe((event) => {
      if (event.type !== 'listening') return;
      echoPort = event.address.port ?? 0;
      resolve();
    });
  });
  const runs: Run[] = [];
  for (const { file, prints } of programs) {
    current = { printed: [], failures: [] };
    runs.push(current);
    begun = [];
    await import(file).catch(fail);
    await Promise.all(begun);
    for (let i = 0; i < 100 && current.printed.length < prints; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    over.next();
    await new Promise((resolve) => setImmediate(resolve));
  }
  print(`\n${JSON.stringify(runs)}`);
  process.exit();
}
