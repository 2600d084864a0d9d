import { metrics as api, type Meter } from '@opentelemetry/api';
import type { Observable, Subscription } from 'rxjs';
import type { ServerEvent } from '../events.ts';
import type { Attributes } from '../metrics/instrument.ts';
import { ObservedServer } from '../metrics/observedServer.ts';
import { attributes, checkEvents } from '../metrics/options.ts';
import { check, having } from '../options.ts';
import { MeterReporter } from './meterReporter.ts';

/** How to report metrics. */
export interface MetricsOptions {
  /** What makes the instruments. Several servers can share one. @default metrics.getMeter('sluice') of @opentelemetry/api */
  readonly meter?: Meter | undefined;
  /**
   * Further attributes of all metrics of this server. They overrule ours, `server.address` and `server.port`, which are those that
   * it listens on. Of servers with the same attributes the last one is reported. Those that tell the values of a metric apart are
   * refused.
   * @default none
   */
  readonly attributes?: Attributes | undefined;
}

const reporters = new WeakMap<Meter, MeterReporter>();

/**
 * Reports the metrics of a server with OpenTelemetry.
 *
 * What the server counts is read when the metrics are collected, and a connection costs two records in histograms. Subscribe
 * before the server is listening: in the same call that subscribes to its events. The names are in `lib/metrics/METRICS.md`.
 *
 * When the events are over, the last figures stay until the returned subscription is unsubscribed, so that the last export of a
 * process has the result of the drain. Then nothing is read any more; what the SDK has collected once it goes on to export.
 *
 * @example
 * ```ts
 * import { metrics } from 'sluice/opentelemetry';
 *
 * const echo = (client: Connection) => client.pipe(lines(), map(encodeLine));
 * const events = serve({ port: 7000 }, echo, { shutdown: signals() }).pipe(share());
 * metrics(events);
 * events.subscribe(logTo(console));
 * ```
 *
 * @param events Those of `serve`, or a Subject that is the option `events` of `listen`. They are subscribed to: share those of
 * `serve`, or there are two servers. An error of theirs is ignored here.
 * @param options See {@link MetricsOptions}.
 * @returns What ends it.
 * @throws TypeError for options that do not exist or whose values cannot be.
 */
export function metrics(events: Observable<ServerEvent>, options: MetricsOptions = {}): Subscription {
  checkEvents(events);
  const { meter = api.getMeter('sluice'), attributes: given = {} } = check('report metrics', options, {
    meter: having('a Meter of OpenTelemetry', 'createHistogram', 'addBatchObservableCallback'),
    attributes,
  });
  const reporter = reporters.get(meter) ?? new MeterReporter(meter);
  reporters.set(meter, reporter);
  const server = new ObservedServer(given, (instrument, own, ofServer) =>
    reporter.recording(instrument, { ...ofServer, ...own }),
  );
  reporter.add(server);
  const observed = server.observe(events);
  observed.add(() => reporter.delete(server));
  return observed;
}
