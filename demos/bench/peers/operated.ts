/** What an operator may add to a server: metrics, the admin port with its live page, limits that can be moved, and spans. */
import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  InMemorySpanExporter,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import { Registry } from 'prom-client';
import { BehaviorSubject, type Observable } from 'rxjs';
import { admin } from '../../../lib/admin/index.ts';
import type { Handler, ServeOptions, ServerEvent } from '../../../lib/index.ts';
import { traceConnections } from '../../../lib/opentelemetry/index.ts';
import { metrics } from '../../../lib/prometheus/index.ts';
import { limit } from './program.ts';

/** The share of connections that are recorded: a usual one for a service with thousands of them a second. */
const SAMPLED = 0.01;

/** An exporter that keeps nothing. */
class Discarding extends InMemorySpanExporter {
  override export(...[spans, done]: Parameters<InMemorySpanExporter['export']>): void {
    super.export(spans, done);
    this.reset();
  }
}

const concurrency = new BehaviorSubject(limit);
const perAddress = new BehaviorSubject(limit);

/** Options that replace those of the server. */
export const options: ServeOptions = {
  concurrency,
  perAddress: { connections: perAddress },
};

/** The handler with a span for each connection. */
export function traced(handler: Handler): Handler {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const provider = new BasicTracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(SAMPLED) }),
    spanProcessors: [new BatchSpanProcessor(new Discarding())],
  });
  return traceConnections(handler, { tracer: provider.getTracer('bench') });
}

/** Reports the metrics, and opens the admin port. It prints the address of the page, with the token. */
export function operate(events: Observable<ServerEvent>): void {
  const registry = new Registry();
  metrics(events, { registry });
  const limits = { concurrency, 'perAddress.connections': perAddress };
  admin(events, { port: 0, metrics: registry, limits }).subscribe((event) => {
    if (event.type === 'listening') console.log(`admin ${event.url}`);
  });
}
