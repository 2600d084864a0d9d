import { Observable } from 'rxjs';
import type { ServerEvent } from '../events.ts';
import { check, checkArgument, having } from '../options.ts';
import { defaultClock } from '../time/monotonic.ts';
import { AdminServer } from './adminServer.ts';
import type { AdminEvent } from './events.ts';
import { type AdminOptions, adminChecks } from './options.ts';

const observable = having('an Observable of the events of serve', 'subscribe');

/**
 * A port for those who run a server: probes, metrics, the connections as JSON, a live page, and actions.
 *
 * ```text
 * events          ---l--o-o--c------d----c-D|     listening, opened, closed, draining, drained
 * admin(events)   -l--------------a---------|     listening, action; it completes once its port is closed
 * /readyz         --503--200--------503-----
 * ```
 *
 * Subscribing opens the port and subscribes to the events, which must not have begun: share them. An error of `events` is for their
 * other subscribers; here it is the end. Unsubscribing closes the port at once.
 *
 * @example
 * ```ts
 * const concurrency = new BehaviorSubject(1000);
 * const echo = (client: Connection) => client.pipe(lines(), map(encodeLine));
 * const events = serve({ port: 7000 }, echo, { concurrency, shutdown: signals() }).pipe(share());
 * // Its event `listening` has the address of the live page, with the token: to be shown to the operator.
 * admin(events, { port: 0, limits: { concurrency } }).subscribe();
 * events.subscribe(logTo(console));
 * ```
 *
 * @param events The events of `serve`.
 * @param options See {@link AdminOptions}.
 * @returns What happens at the port. It errors with Node's own error if the port cannot be opened.
 * @throws TypeError or RangeError for options that do not exist or whose values cannot be.
 */
export function admin(events: Observable<ServerEvent>, options: AdminOptions): Observable<AdminEvent> {
  const what = 'open the admin port';
  checkArgument(what, 'events', events, observable);
  const { scheduler, ...given } = check(what, options, adminChecks);
  if (given.port === undefined) throw new TypeError(`Cannot ${what}: port must be given`);
  return new Observable((subscriber) => {
    const server = new AdminServer(given, scheduler ?? defaultClock(), subscriber);
    subscriber.add(() => server.close());
    // The events first: none is missed while the port is being opened.
    subscriber.add(
      events.subscribe({
        next: (event) => server.see(event),
        error: () => server.end(),
        complete: () => server.end(),
      }),
    );
    if (!subscriber.closed) server.open();
  });
}
