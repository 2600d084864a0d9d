import { Observable, type Subscriber, throwError } from 'rxjs';
import { Phase } from '../connection/phase.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import type { ConnectionView } from '../connectionView.ts';
import { LinkedSet } from '../linkedSet.ts';
import { callable, check, checkArgument, describe, finiteMilliseconds, milliseconds, text } from '../options.ts';
import { Queue } from '../queue.ts';
import type {
  ClosedChange,
  ConnectionRow,
  ConnectionState,
  ConnectionTable,
  Rehearsal,
  RehearsalOptions,
  TableChange,
} from '../table.ts';
import { inSlices } from '../time/inSlices.ts';
import { type DrainPlan, isToBeAsked, rehearse } from './rehearse.ts';

type Predicate = (connection: ConnectionView) => boolean;

/** A subscriber of `changes`. */
interface Viewer {
  readonly to: Subscriber<TableChange>;
  /** The number of the last change that its snapshot includes. */
  readonly since: number;
}

/** A change that has happened, and that not every viewer has received. Without a change, it is the end. */
interface Pending {
  readonly at: number;
  readonly change: TableChange | undefined;
}

/**
 * The connections of one open port that were taken and whose sockets are not closed: the table that users see.
 *
 * A change is emitted after the table has changed. A viewer may cause further changes, subscribe, or unsubscribe in that call.
 * Further changes are emitted when all viewers have received this one, so that all receive them in the order in which they
 * happened. A viewer that subscribes meanwhile has them in its snapshot, and does not receive them again.
 */
export class LiveConnections implements ConnectionTable {
  readonly all = new LinkedSet<SocketConnection>();
  readonly #viewers = new Set<Viewer>();
  #changes = 0;
  readonly #pending = new Queue<Pending>();
  #isEmitting = false;
  #isPortClosed = false;
  #isOver = false;
  readonly #plan: DrainPlan;

  /** @param plan How the server drains. */
  constructor(plan: DrainPlan = { announce: 0, grace: 10_000, spread: 0 }) {
    this.#plan = plan;
  }

  // What the registry reports ------------------------------------------------------------------------------------------

  add(connection: SocketConnection): void {
    this.all.add(connection);
    if (this.#viewers.size > 0) this.#emit({ type: 'opened', row: rowOf(connection) });
  }

  /** @param closed Its event. */
  delete(connection: SocketConnection, closed: ClosedChange): void {
    this.all.delete(connection);
    if (this.#viewers.size > 0) this.#emit(closed);
    this.#endIfEmpty();
  }

  /** A connection was asked to finish. */
  drains(connection: SocketConnection): void {
    if (this.#viewers.size > 0 && this.all.has(connection)) this.#emit({ type: 'changed', row: rowOf(connection) });
  }

  /** No connection is added from now on: `changes` completes with the last one. */
  portClosed(): void {
    this.#isPortClosed = true;
    this.#endIfEmpty();
  }

  /** The server has ended: `changes` completes, also while sockets are open. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#emit(undefined);
  }

  // What users see and do ----------------------------------------------------------------------------------------------

  get size(): number {
    return this.all.size;
  }

  has(item: ConnectionView): boolean {
    return this.all.has(item as SocketConnection);
  }

  [Symbol.iterator](): Iterator<ConnectionView, undefined> {
    return this.all[Symbol.iterator]();
  }

  rows(): ConnectionRow[] {
    return Array.from(this.all, rowOf);
  }

  /** What `JSON.stringify` makes of it. */
  toJSON(): ConnectionRow[] {
    return this.rows();
  }

  readonly changes = new Observable<TableChange>((to) => {
    const viewer = { to, since: this.#changes };
    const snapshot: TableChange = { type: 'snapshot', rows: this.rows() };
    if (this.#isOver) {
      to.next(snapshot);
      to.complete();
      return;
    }
    this.#viewers.add(viewer);
    to.add(() => this.#viewers.delete(viewer));
    this.#whileEmitting(() => to.next(snapshot));
  });

  drain(predicate: Predicate, reason?: string): number {
    const chosen = this.#choose('drain connections', predicate, reason);
    return this.#each(chosen.filter(isToBeAsked), (connection) => connection.drain(reason));
  }

  abort(predicate: Predicate, reason?: string): number {
    const chosen = this.#choose('abort connections', predicate, reason);
    const open = chosen.filter(({ isDetached }) => !isDetached);
    return this.#each(open, (connection) => connection.abort(reason));
  }

  rehearse(options: RehearsalOptions = {}): Rehearsal {
    const given = check('rehearse a drain', options, rehearsalChecks);
    return rehearse(this.all, { ...this.#plan, ...given });
  }

  /** All for which a predicate holds, before anything is done to them. */
  #choose(what: string, predicate: Predicate, reason: string | undefined): SocketConnection[] {
    checkArgument(what, 'predicate', predicate, callable);
    if (reason !== undefined) checkArgument(what, 'reason', reason, text);
    const chosen: SocketConnection[] = [];
    for (const connection of this.all) {
      const holds: unknown = predicate(connection);
      // A promise is truthy: an async function would choose all of them.
      if (typeof holds !== 'boolean')
        throw new TypeError(`Cannot ${what}: predicate must return true or false, not ${describe(holds)}`);
      if (holds) chosen.push(connection);
    }
    return chosen;
  }

  #each(connections: SocketConnection[], work: (connection: SocketConnection) => void): number {
    const [first] = connections;
    if (first) inSlices(first.clock, connections, work);
    return connections.length;
  }

  // Emitting -----------------------------------------------------------------------------------------------------------

  #endIfEmpty(): void {
    if (this.#isPortClosed && this.all.size === 0) this.end();
  }

  #emit(change: TableChange | undefined): void {
    this.#pending.push({ at: ++this.#changes, change });
    if (!this.#isEmitting) this.#whileEmitting(() => {});
  }

  /** Works, and then emits what has happened meanwhile, unless this is called within a call of itself. */
  #whileEmitting(work: () => void): void {
    if (this.#isEmitting) return attempt(work);
    this.#isEmitting = true;
    try {
      attempt(work);
      for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift()) this.#pass(next);
    } finally {
      this.#isEmitting = false;
    }
  }

  #pass({ at, change }: Pending): void {
    for (const { to, since } of this.#viewers) {
      if (since >= at) continue;
      attempt(() => (change === undefined ? to.complete() : to.next(change)));
    }
  }
}

const rehearsalChecks = { announce: milliseconds, grace: milliseconds, spread: finiteMilliseconds };

/** RxJS catches what an observer throws, but not what a Subscriber of the user does. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    throwError(() => error).subscribe();
  }
}

function rowOf(connection: SocketConnection): ConnectionRow {
  const { id, peer, via, openedAt, bytesIn, bytesOut, unsent, dropped, paused, idle } = connection;
  return {
    id,
    peer,
    via,
    openedAt,
    state: stateOf(connection),
    bytesIn,
    bytesOut,
    unsent,
    dropped,
    paused,
    idle,
  };
}

function stateOf({ isDraining, isDetached, over, currentPhase }: SocketConnection): ConnectionState {
  if (isDetached) return 'closing';
  if (over) return currentPhase === Phase.lingering ? 'lingering' : 'ending';
  return isDraining ? 'draining' : 'open';
}
