/** Tracing for OpenTelemetry: needs the package `@opentelemetry/api`. */
export { type ConnectionTracing, traceConnections } from './traceConnections.ts';
export { type RequestTracing, traceRequests } from './traceRequests.ts';
