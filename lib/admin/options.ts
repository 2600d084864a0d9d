import type { BehaviorSubject, SchedulerLike } from 'rxjs';
import {
  type Check,
  type Checks,
  callable,
  describe,
  having,
  milliseconds,
  object,
  type PerAddressLimit,
  perAddressLimit,
  perSecond,
  schedulerLike,
  text,
  timeLimit,
  whole,
} from '../options.ts';

/**
 * The limits that an operator can move, by the names of the options of `serve`. Each is the `BehaviorSubject` that `serve` was
 * given for that option: it has the current value, and receives the next one.
 */
export type AdminLimits = {
  readonly [Name in LimitName]?:
    | BehaviorSubject<number>
    | (Name extends 'perAddress.connections' ? BehaviorSubject<PerAddressLimit> : never)
    | undefined;
};

/** The name of a limit that can be moved. */
export type LimitName = keyof typeof limitKinds;

/** A source of metrics in a text format, such as a `Registry` of `prom-client`. */
export interface MetricsSource {
  /** The value of the header `Content-Type`. */
  readonly contentType: string;
  /** The text of all metrics. */
  metrics(): Promise<string>;
}

/** How to open the admin port. */
export interface AdminOptions {
  /** The TCP port; 0 for any free one. */
  readonly port: number;
  /** The address to bind. With one that is not a loopback address, other machines can reach the port. @default '127.0.0.1' */
  readonly host?: string | undefined;
  /** Further host names by which the port is reached, such as that of a proxy in front of it. @default none */
  readonly names?: readonly string[] | undefined;
  /** The token that requests must have; 16 characters at least, letters, digits, `-` and `_`. @default 256 random bits */
  readonly token?: string | undefined;
  /** What `/metrics` answers. @default nothing: 404 */
  readonly metrics?: MetricsSource | undefined;
  /** The limits that can be moved. @default none */
  readonly limits?: AdminLimits | undefined;
  /**
   * Begins the drain of the whole server: emits on the Observable that `serve` has as `shutdown`. It is called once at most, unless it
   * throws, and not once the server drains, because a second value would abort. ADMIN.md shows how to have signals beside it.
   *
   * @default that cannot be asked for
   */
  readonly drain?: (() => void) | undefined;
  /** How many live pages may be open at a time. @default 8 */
  readonly viewers?: number | undefined;
  /** The clock of the samples. @default monotonic */
  readonly scheduler?: SchedulerLike | undefined;
}

/** What a limit counts, for the page, and its check. It is the check of `serve`, so that no value gets there which it refuses. */
export interface LimitKind {
  readonly unit: 'connections' | 'a second' | 'ms';
  readonly allowed: Check;
}

const kind = (unit: LimitKind['unit'], allowed: Check): LimitKind => ({ unit, allowed });

export const limitKinds = {
  concurrency: kind('connections', whole(1)),
  'waiting.max': kind('connections', whole(0)),
  'waiting.timeout': kind('ms', milliseconds),
  'perAddress.connections': kind('connections', perAddressLimit),
  'accepts.perSecond': kind('a second', perSecond),
  'accepts.perAddress.perSecond': kind('a second', perSecond),
  idle: kind('ms', timeLimit),
  greeting: kind('ms', timeLimit),
  frame: kind('ms', timeLimit),
  reply: kind('ms', timeLimit),
} as const satisfies Record<string, LimitKind>;

const behaviorSubject = having('a BehaviorSubject', 'next', 'subscribe', 'getValue');

const limitChecks: Checks = Object.fromEntries(Object.keys(limitKinds).map((name) => [name, behaviorSubject]));

const hostNames: Check = (value) => {
  const isList = Array.isArray(value) && value.every((name) => typeof name === 'string' && /^[\w-][\w.-]*$/.test(name));
  return isList ? undefined : `must be an array of host names, not ${describe(value)}`;
};

const token: Check = (value) =>
  typeof value === 'string' && /^[\w-]{16,}$/.test(value)
    ? undefined
    : 'must be 16 characters or more, letters, digits, - and _';

const metricsSource: Check = (value) => {
  const wrong = having('a Registry, or another object with contentType and metrics()', 'metrics')(value);
  return wrong ?? inContentType(text((value as MetricsSource).contentType));
};
const inContentType = (wrong: ReturnType<Check>): ReturnType<Check> =>
  wrong === undefined ? undefined : `.contentType ${typeof wrong === 'string' ? wrong : wrong.outOfRange}`;

/** How each option is validated. */
export const adminChecks: Checks = {
  port: whole(0, 65_535),
  host: text,
  names: hostNames,
  token,
  metrics: metricsSource,
  limits: object(limitChecks),
  drain: callable,
  viewers: whole(1),
  scheduler: schedulerLike,
};
