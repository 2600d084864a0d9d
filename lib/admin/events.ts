import type { PerAddressLimit } from '../options.ts';
import type { Address } from '../transport/transport.ts';
import type { LimitName } from './options.ts';

/** The admin port is open. */
export interface AdminListeningEvent {
  readonly type: 'listening';
  /** Where it is bound. */
  readonly address: Address;
  /** The live page, with the token in its fragment: a browser does not send that part. To be shown to the operator only. */
  readonly url: string;
  /** What each request for figures of connections, and each action, has to have as `Authorization: Bearer …`. */
  readonly token: string;
  /** Whether other machines may reach the port: it is bound to an address that is not a loopback one. */
  readonly isExposed: boolean;
}

/** An operator did something. This is the record of it: log it. */
export interface AdminActionEvent {
  readonly type: 'action';
  /**
   * What was done.
   *
   * - `drain`, `abort`: `connections` of them were asked to finish, or aborted, with the detail `reason`.
   * - `limit`: the limit `name` was moved from `was` to `value`.
   * - `shutdown`: the drain of the whole server was asked for.
   */
  readonly action: 'drain' | 'abort' | 'limit' | 'shutdown';
  /** Where the request came from. */
  readonly peer: Address;
  /** The numbers of the connections that were selected, if they were selected by these. */
  readonly ids?: readonly number[];
  /** The address whose connections were selected, if they were selected by it. */
  readonly address?: string;
  /** The search that selected connections, if they were selected by one. */
  readonly search?: string;
  /** Given if all connections were selected. */
  readonly all?: true;
  /** How many of those selected were to be spared, if any were. */
  readonly keep?: number;
  /** How many connections were asked to finish, or aborted, if that was the action. */
  readonly connections?: number;
  /** The `detail` of their `closed` events, if connections were closed. */
  readonly reason?: string;
  /** The limit that was moved, if one was. */
  readonly name?: LimitName;
  /** The number that the limit was before, in the unit of the option of `serve`, if one was moved. */
  readonly was?: PerAddressLimit;
  /** The number that it is now, if one was moved. */
  readonly value?: PerAddressLimit;
}

/** A request was refused. Emitted at most once a second for each reason, because a client without the token may send them at any rate. */
export interface AdminRefusedEvent {
  readonly type: 'refused';
  /**
   * Why it was refused.
   *
   * - `host`: the header `Host` has a name that is not one of this port, as after DNS rebinding.
   * - `origin`: a page of another origin sent it.
   * - `token`: it has no token, or a wrong one.
   * - `viewers`: as many live pages are open as may be.
   */
  readonly reason: 'host' | 'origin' | 'token' | 'viewers';
  /** Where the request came from. */
  readonly peer: Address;
  /** How many more were refused for this reason since its last event. */
  readonly more: number;
}

/**
 * Something failed that the admin port calls, such as the metrics; or it cannot accept. The server is not affected. Emitted at most
 * once a second.
 */
export interface AdminFailedEvent {
  readonly type: 'failed';
  /** What was thrown, or Node's own error. */
  readonly error: unknown;
}

/** The events of `admin`. */
export type AdminEvent = AdminListeningEvent | AdminActionEvent | AdminRefusedEvent | AdminFailedEvent;
