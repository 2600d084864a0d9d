// The subpath sluice/prometheus: the metrics of a server in a registry of prom-client.

import { type OpenMetricsContentType, type PrometheusContentType, type Registry, register } from 'prom-client';
import type { Observable, Subscription } from 'rxjs';
import type { ServerEvent } from '../events.ts';
import { Histogram } from '../metrics/histogram.ts';
import type { Attributes } from '../metrics/instrument.ts';
import { ObservedServer } from '../metrics/observedServer.ts';
import { checkEvents } from '../metrics/options.ts';
import { check, having } from '../options.ts';
import { labels } from './labels.ts';
import { type AnyRegistry, type Recorded, Reporter } from './reporter.ts';

/** How to report metrics. */
export interface MetricsOptions {
  /** Where they are registered. Several servers can share one. @default prom-client's own `register` */
  readonly registry?: Registry<PrometheusContentType> | Registry<OpenMetricsContentType> | undefined;
  /**
   * Further labels of all metrics of this server. They overrule ours, `server_address` and `server_port`, which are those that it
   * listens on. Of servers with the same labels the last one is reported. Labels that Prometheus reserves are refused, and so are
   * those that tell the values of a metric apart.
   * @default none
   */
  readonly attributes?: Attributes | undefined;
}

const reporters = new WeakMap<AnyRegistry, Reporter>();

/**
 * Reports the metrics of a server in a registry of prom-client: what `/metrics` shows.
 *
 * What the server counts is read when the registry is asked, and a connection costs two records in histograms. Subscribe before
 * the server is listening: in the same call that subscribes to its events. The names are in `lib/metrics/METRICS.md`.
 *
 * When the events are over, the last figures stay until the returned subscription is unsubscribed. That removes the metrics from
 * the registry, unless other servers report there.
 *
 * @example
 * ```ts
 * import { Registry } from 'prom-client';
 * import { metrics } from 'sluice/prometheus';
 *
 * const registry = new Registry();
 * const echo = (client: Connection) => client.pipe(lines(), map(encodeLine));
 * const events = serve({ port: 7000 }, echo, { shutdown: signals() }).pipe(share());
 *
 * metrics(events, { registry });
 * events.subscribe(logTo(console));
 * // Where Prometheus asks: `await registry.metrics()`.
 * ```
 *
 * @param events Those of `serve`, or a Subject that is the option `events` of `listen`. They are subscribed to: share those of
 * `serve`, or there are two servers. An error of theirs is ignored here.
 * @param options See {@link MetricsOptions}.
 * @returns What ends it.
 * @throws TypeError for options that do not exist or whose values cannot be, and for a registry that has other metrics of these
 * names.
 */
export function metrics(events: Observable<ServerEvent>, options: MetricsOptions = {}): Subscription {
  checkEvents(events);
  const { registry = register, attributes: given = {} } = check('report metrics', options, {
    registry: having('a Registry of prom-client', 'registerMetric', 'getSingleMetric', 'removeSingleMetric'),
    attributes: labels,
  });
  const shared = registry as AnyRegistry;
  const reporter = reporters.get(shared) ?? new Reporter(shared);
  reporters.set(shared, reporter);
  const recorded = new Map<string, Recorded>();
  const server = new ObservedServer(given, (instrument, own) => {
    // A server that begins anew goes on with its histograms. Its labels are added when they are read.
    const key = `${instrument.name} ${JSON.stringify(own)}`;
    const { histogram } = recorded.get(key) ?? { histogram: new Histogram(instrument.bounds) };
    recorded.set(key, { instrument, attributes: own, histogram });
    return histogram;
  });
  const reported = { server, recorded };
  reporter.add(reported);
  const observed = server.observe(events);
  observed.add(() => {
    if (reporter.delete(reported)) reporters.delete(shared);
  });
  return observed;
}
