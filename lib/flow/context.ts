import { AsyncLocalStorage } from 'node:async_hooks';
import { type MonoTypeOperatorFunction, Observable, type ObservableInput } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import { internals } from '../connection/internals.ts';
import type { Data } from '../connection/writeQueue.ts';
import { callable, checkArgument } from '../options.ts';
import { type Handler, onDemand } from './reply.ts';

const contexts = new AsyncLocalStorage<unknown>();

/**
 * The value that the option `context` of `serve` has made for the connection whose handler is running: in each of its callbacks, and
 * after each `await` in them. In a connection that `connect` makes there, too.
 *
 * @example Log lines of a handler, and of what it calls, carry the connection's id.
 * ```ts
 * const root = pino({ level: 'warn' });
 * const log = () => contextOf<typeof root>() ?? root;
 * const find = async (name: string) => {
 *   log().info({ name }, 'looking it up');
 *   return database.find(name);
 * };
 * serve({ port: 7000 }, exchange(lines(), find), {
 *   context: ({ id, peer }) => root.child({ connection: id, peer: peer.address }),
 * }).subscribe();
 * ```
 *
 * @returns The value; `undefined` outside of a handler, and without that option. Its type is not checked.
 */
export function contextOf<T>(): T | undefined {
  return contexts.getStore() as T | undefined;
}

/** A handler that runs with the value as {@link contextOf}. */
export function withStore(store: (connection: Connection) => unknown, handler: Handler): Handler {
  return withContext((connection, run) => contexts.run(store(connection), run), handler);
}

/**
 * Runs a handler in an async context of its own for each connection: for an `AsyncLocalStorage` of yours, or the context of a tracer.
 * All that `enter` has entered is there in each callback of the handler: in its operators, in `project` and `onError` of an
 * `exchange`, in generators and loops, at deadlines, in the drain, in teardowns, and after each `await` in them.
 *
 * An Observable that connections share calls what is behind it in the context of whatever emits. Use a `broadcast`, or
 * {@link inContextOf}.
 *
 * @example
 * ```ts
 * const peers = new AsyncLocalStorage<string>();
 * const handler = exchange(lines(), async (line) => `${peers.getStore()} said ${line}\n`);
 * const enter = ({ peer }: Connection, run: () => void) => peers.run(peer.address ?? 'unknown', run);
 * serve({ port: 7000 }, withContext(enter, handler)).subscribe();
 * ```
 *
 * @param enter Called with each connection before its handler. It has to call `run` once, before it returns. If it throws, the
 * connection ends as `failed`.
 * @param handler From a connection to its replies.
 * @returns A handler.
 * @throws TypeError if one of them is not a function.
 */
export function withContext(enter: (connection: Connection, run: () => void) => void, handler: Handler): Handler {
  checkArgument('set a context', 'enter', enter, callable);
  checkArgument('set a context', 'the handler', handler, callable);
  return (source) => {
    const connection = internals(source, 'set a context');
    let calls = 0;
    let hasReturned = false;
    enter(source, () => {
      // Later, or again, it would move the connection into the context of whatever calls then.
      if (hasReturned || calls > 0) throw new TypeError('Cannot set a context: run was called again, or too late');
      calls++;
      connection.adoptContext();
    });
    hasReturned = true;
    if (calls === 0) throw new TypeError('Cannot set a context: enter did not call run before it returned');
    return new Observable<Data | undefined>((to) => {
      connection.inContext(() => {
        to.add(onDemand(handler(source) as Data | ObservableInput<Data | undefined>, connection).subscribe(to));
      });
    });
  };
}

/**
 * Emits in the context of a connection: for an Observable that several connections share. What is behind it would otherwise run in
 * the context of whatever emits, such as the handler of another connection.
 *
 * @example
 * ```ts
 * const news = new Subject<string>();
 * const handler = (client: Connection) => {
 *   const own = news.pipe(inContextOf(client), map((text) => `${contextOf<string>()}: ${text}\n`));
 *   return merge(own, client.pipe(lines(), tap((line) => news.next(line)), ignoreElements()));
 * };
 * serve({ port: 7000 }, handler, { context: ({ id }) => `to ${id}` }).subscribe();
 * ```
 *
 * @param connection Of `listen`, `serve` or `connect`.
 * @returns An operator that emits, errors and completes as its source does.
 * @throws TypeError for what is not such a connection.
 */
export function inContextOf<T>(connection: Connection): MonoTypeOperatorFunction<T> {
  const own = internals(connection, 'emit in its context');
  return (source) =>
    new Observable<T>((to) =>
      source.subscribe({
        next: (value) => own.inContext(() => to.next(value)),
        error: (error: unknown) => own.inContext(() => to.error(error)),
        complete: () => own.inContext(() => to.complete()),
      }),
    );
}
