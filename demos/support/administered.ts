import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import {
  BehaviorSubject,
  filter,
  finalize,
  from,
  identity,
  ignoreElements,
  type MonoTypeOperatorFunction,
  merge,
  type Observable,
  type ObservableInput,
  share,
  tap,
} from 'rxjs';
import { type AdminEvent, type AdminLimits, admin } from '../../lib/admin/index.ts';
import type { PerAddressLimit, ServeOptions, ServerEvent } from '../../lib/index.ts';
import { metrics } from '../../lib/prometheus/index.ts';
import { address, count } from './format.ts';
import { codeOf, reason } from './reason.ts';

/** What {@link administered} needs of a demo. */
interface Reporting {
  /** Ends the demo with a sentence. */
  readonly fail: (sentence: string) => unknown;
  readonly log: Logger;
}

/**
 * Replaces the limits among the options by subjects, so that an operator can move them while the demo runs. Those that are not
 * given stay as they are by default, but the limit of an address can be moved always: that is what an operator needs most. The option
 * `shutdown` is replaced by {@link sparing} that.
 *
 * @param port That of `--admin`: without it, the options are returned as they are.
 */
export function movable(port: number | undefined, options: ServeOptions): ServeOptions {
  if (port === undefined) return options;
  const { waiting, perAddress, accepts, shutdown } = options;
  return {
    ...options,
    ...(shutdown && { shutdown: sparing(shutdown) }),
    ...subjects(options, 'concurrency', 'idle', 'greeting', 'frame', 'reply'),
    ...(waiting && { waiting: { ...waiting, ...subjects(waiting, 'max', 'timeout') } }),
    perAddress: {
      connections: new BehaviorSubject<PerAddressLimit>('share'),
      ...perAddress,
      ...subjects(perAddress ?? {}, 'connections'),
    },
    ...(accepts && {
      accepts: {
        ...accepts,
        ...subjects(accepts, 'perSecond'),
        ...(accepts.perAddress && {
          perAddress: { ...accepts.perAddress, ...subjects(accepts.perAddress, 'perSecond') },
        }),
      },
    }),
  };
}

/** Whether the drain was begun from the admin page: the first value of `shutdown` is that of {@link administered}. */
let isDrainedFromPage = false;

/**
 * A supervisor, or another operator, may send SIGTERM after the page has begun the drain. Its first signal is meant to drain as well, so
 * it does not end the grace: the one after it does.
 *
 * ```text
 * shutdown            -page----SIGTERM----SIGTERM--
 * sparing(shutdown)   -page---------------SIGTERM--
 * ```
 */
function sparing(shutdown: ObservableInput<unknown>): Observable<unknown> {
  return from(shutdown).pipe(filter((_, index) => !(isDrainedFromPage && index === 1)));
}

function subjects<T extends object>(options: T, ...names: (keyof T)[]): Partial<T> {
  const given = names.filter((name) => typeof options[name] === 'number');
  return Object.fromEntries(given.map((name) => [name, new BehaviorSubject(options[name])])) as Partial<T>;
}

/** The limits that are subjects. */
function limitsOf({
  concurrency,
  waiting,
  perAddress,
  accepts,
  idle,
  greeting,
  frame,
  reply,
}: ServeOptions): AdminLimits {
  const all = {
    concurrency,
    'waiting.max': waiting?.max,
    'waiting.timeout': waiting?.timeout,
    'perAddress.connections': perAddress?.connections,
    'accepts.perSecond': accepts?.perSecond,
    'accepts.perAddress.perSecond': accepts?.perAddress?.perSecond,
    idle,
    greeting,
    frame,
    reply,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value instanceof BehaviorSubject));
}

/**
 * With `--admin`, opens an admin port on the loopback beside a server, with its metrics, and with its limits if they are
 * {@link movable}. The events pass through; they complete once the admin port is closed.
 *
 * @param port That of `--admin`.
 * @param options Those of `serve`.
 */
export function administered(
  port: number | undefined,
  options: ServeOptions,
  { fail, log }: Reporting,
): MonoTypeOperatorFunction<ServerEvent> {
  if (port === undefined) return identity;
  return (events) => {
    const shared = events.pipe(share());
    const registry = new Registry();
    // As a signal to the demo, which has its own ways to end. `admin` calls this once at most, and not after a signal.
    const drain = () => {
      isDrainedFromPage = true;
      process.emit('SIGTERM', 'SIGTERM');
    };
    const opened = admin(shared, { port, limits: limitsOf(options), metrics: registry, drain }).pipe(
      tap({
        next: (event) => report(event, log),
        error: (error) =>
          fail(`cannot listen on ${address('127.0.0.1', port)} for --admin: ${reason(codeOf(error) ?? error)}`),
      }),
      ignoreElements(),
    );
    const reported = metrics(shared, { registry });
    return merge(opened as Observable<never>, shared).pipe(finalize(() => reported.unsubscribe()));
  };
}

function report(event: AdminEvent, log: Logger): void {
  switch (event.type) {
    case 'listening':
      return log.info({ type: 'admin', url: event.url, token: event.token }, `admin page: ${event.url}`);
    case 'action':
      return log.warn({ ...event, type: 'admin' }, `admin: ${done(event)}`);
    case 'refused':
      return log.warn({ ...event, type: 'admin' }, `admin: a request was refused because of its ${event.reason}`);
    case 'failed':
      return log.error({ type: 'admin', err: event.error }, `admin: ${reason(event.error)}`);
  }
}

type Action = Extract<AdminEvent, { type: 'action' }>;

function done(event: Action): string {
  const { action, connections = 0, name, was, value } = event;
  if (action === 'limit') return `${name} is now ${value}, and was ${was}`;
  if (action === 'shutdown') return 'the drain of the server';
  return `${action} of ${count(connections)} ${connections === 1 ? 'connection' : 'connections'}, ${selection(event)}`;
}

/** Which connections an action was for, in words. */
function selection({ address: of, search, ids = [], keep }: Action): string {
  const others = keep === undefined ? '' : `, but the oldest ${count(keep)}`;
  if (of !== undefined) return `all of ${of}${others}`;
  if (search !== undefined) return `all that match '${search}'${others}`;
  if (ids.length === 0) return `all${others}`;
  const [shown, more] = [ids.slice(0, NUMBERS).map((id) => `#${id}`), ids.length - NUMBERS];
  return `${shown.join(', ')}${more > 0 ? ` and ${count(more)} more` : ''}${others}`;
}

/** Numbers of connections in a sentence, at most. The line has all. */
const NUMBERS = 10;
