// The subpath sluice/opentelemetry. It needs the package `@opentelemetry/api`.

export { type MetricsOptions, metrics } from './metrics.ts';
export { type ConnectionTracing, traceConnections } from './traceConnections.ts';
export { type RequestTracing, traceRequests } from './traceRequests.ts';
