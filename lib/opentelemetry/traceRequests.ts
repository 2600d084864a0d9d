import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { from, Observable, type ObservableInput, Subscriber } from 'rxjs';
import type { Connection } from '../connection/connection.ts';
import type { Data } from '../connection/writeQueue.ts';
import { isPullable, type Pullable } from '../flow/pull.ts';
import type { Reply } from '../flow/reply.ts';
import { callable, check, checkArgument, describe, having, isData } from '../options.ts';
import { recordFailure, typeOfError } from './recordFailure.ts';

/** How to trace requests. */
export interface RequestTracing<T> {
  /** Makes the spans. @default trace.getTracer('sluice') */
  readonly tracer?: Tracer | undefined;
  /** The name of the span: few different ones, such as the name of the command. @default 'request' */
  readonly name?: string | ((request: T) => string) | undefined;
  /** Further attributes of the span of a request. @default none */
  readonly attributes?: ((request: T, connection: Connection) => Attributes) | undefined;
  /**
   * The context of the client's span, if the protocol carries one: `propagation.extract(ROOT_CONTEXT, headers)`. Then the span of the
   * request is a child of that span. @default none: the span begins a trace of its own
   */
  readonly parent?: ((request: T, connection: Connection) => Context) | undefined;
}

type Project<T> = (request: T, connection: Connection) => Reply;

/**
 * Traces the requests of an `exchange`: a span for each, from when `project` is called until the reply is complete. It is active in
 * `project`, in the generator or Observable that it returns, and after each `await` in them.
 *
 * Such a span is not a child of the span of the connection, which may last for days: it has a trace of its own, or is part of that of
 * the client, and is linked to the span that was active, which is that of the connection with {@link traceConnections}.
 *
 * A request that fails has the status error, with the exception, whatever `onError` replies. One whose reply is unsubscribed before it
 * is complete has the attribute `sluice.request.cancelled`: its peer has left, its deadline has passed, or the server ended the
 * connection. A promise cannot be unsubscribed: the span of an async function ends with the function.
 *
 * @example
 * ```ts
 * const traced = traceRequests((line: string) => database.find(line), { name: (line) => line.split(' ')[0] ?? '' });
 * serve({ port: 7000 }, exchange(lines(), traced, { concurrency: 8 })).subscribe();
 * ```
 *
 * @param project From a request to its reply, as `exchange` takes it.
 * @param options See {@link RequestTracing}. What its functions throw is a failure of the request.
 * @returns The same, traced.
 * @throws TypeError if `project` is not a function, and for options that do not exist or are not allowed.
 */
export function traceRequests<T>(project: Project<T>, options: RequestTracing<T> = {}): Project<T> {
  checkArgument('trace requests', 'project', project, callable);
  const {
    tracer = trace.getTracer('sluice'),
    name = 'request',
    attributes,
    parent,
  } = check('trace requests', options, {
    tracer: having('a Tracer', 'startSpan'),
    name: (value) =>
      typeof value === 'string' || typeof value === 'function'
        ? undefined
        : `must be a string or a function, not ${describe(value)}`,
    attributes: callable,
    parent: callable,
  });
  return (request, connection) => {
    const remote = parent?.(request, connection);
    const active = context.active();
    const own = trace.getSpan(active);
    const settings = {
      kind: SpanKind.SERVER,
      attributes: { 'sluice.connection.id': connection.id, ...attributes?.(request, connection) },
      links: own ? [{ context: own.spanContext() }] : [],
    };
    const span = tracer.startSpan(typeof name === 'string' ? name : name(request), settings, remote ?? ROOT_CONTEXT);
    return new TracedRequest(span, remote ?? active).reply(() => project(request, connection));
  };
}

/** The span of one request, which ends once. */
class TracedRequest {
  readonly #span: Span;
  readonly #context: Context;

  /** @param base What is active beside the span, such as baggage. */
  constructor(span: Span, base: Context) {
    this.#span = span;
    this.#context = trace.setSpan(base, span);
  }

  /** Calls `project` in the context of the span, and ends the span with what it returns. */
  reply(project: () => Reply): Reply {
    let reply: Reply;
    try {
      reply = this.#run(project);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
    if (typeof reply !== 'object' || reply === null || ArrayBuffer.isView(reply)) {
      // Data; or what is no reply, and fails the request for that.
      if (reply === undefined || isData(reply)) this.#end();
      else this.#fail(new TypeError('the reply is neither data nor a source of data'));
      return reply;
    }
    if (isPullable(reply)) return this.#pullable(reply);
    if (isPromise(reply)) return this.#promise(reply);
    try {
      return this.#observable(from(reply));
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  #promise(reply: PromiseLike<Data | undefined>): PromiseLike<Data | undefined> {
    return reply.then(
      (value) => {
        this.#end();
        return value;
      },
      (error: unknown) => {
        this.#fail(error);
        throw error;
      },
    );
  }

  #observable(source: Observable<Data | undefined>): Observable<Data | undefined> {
    return new Observable((to) => {
      to.add(() => this.#cancel());
      // Its own subscriber, which is added to the other one before the source is subscribed: a source that emits without end within
      // the call stops when it is unsubscribed.
      const own = new Subscriber<Data | undefined>({
        next: (value) => to.next(value),
        error: (error: unknown) => {
          this.#fail(error);
          to.error(error);
        },
        complete: () => {
          this.#end();
          to.complete();
        },
      });
      to.add(own);
      this.#run(() => source.subscribe(own));
    });
  }

  /** It is still asked for each value, because that is how the peer's pace limits it. */
  #pullable(reply: Pullable): Pullable {
    if (Symbol.asyncIterator in reply) {
      return { [Symbol.asyncIterator]: () => this.#asyncIterator(this.#run(() => reply[Symbol.asyncIterator]())) };
    }
    return { [Symbol.iterator]: () => this.#iterator(this.#run(() => reply[Symbol.iterator]())) };
  }

  #iterator(values: Iterator<Data | undefined>): Iterator<Data | undefined> {
    return {
      next: () => {
        try {
          return this.#seen(this.#run(() => values.next()));
        } catch (error) {
          this.#fail(error);
          throw error;
        }
      },
      return: () => {
        try {
          return this.#run(() => values.return?.()) ?? { done: true, value: undefined };
        } finally {
          this.#cancel();
        }
      },
    };
  }

  #asyncIterator(values: AsyncIterator<Data | undefined>): AsyncIterator<Data | undefined> {
    return {
      next: async () => {
        try {
          return this.#seen(await this.#run(() => values.next()));
        } catch (error) {
          this.#fail(error);
          throw error;
        }
      },
      return: async () => {
        // At once: an async generator that waits for something returns only after that.
        this.#cancel();
        return (await this.#run(() => values.return?.())) ?? { done: true, value: undefined };
      },
    };
  }

  #seen<R extends IteratorResult<Data | undefined>>(result: R): R {
    if (result.done) this.#end();
    return result;
  }

  #run<R>(work: () => R): R {
    return context.with(this.#context, work);
  }

  #end(): void {
    if (this.#span.isRecording()) this.#span.end();
  }

  #fail(error: unknown): void {
    if (!this.#span.isRecording()) return;
    this.#span.setAttribute('error.type', typeOfError(error));
    recordFailure(this.#span, error);
    this.#span.end();
  }

  /** Called at each end: does nothing if the span has ended. */
  #cancel(): void {
    if (!this.#span.isRecording()) return;
    this.#span.setAttribute('sluice.request.cancelled', true);
    this.#span.end();
  }
}

const isPromise = (reply: ObservableInput<Data | undefined>): reply is PromiseLike<Data | undefined> =>
  'then' in reply && typeof reply.then === 'function';
