// The subpath sluice/opentelemetry.

export { type MetricsOptions, metrics } from './metrics.ts';
