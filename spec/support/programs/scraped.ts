// A server with metrics whose descriptors are exhausted: prints what a scrape is then, as a line of JSON.
// Its argument is JSON: whether the default metrics of prom-client are collected, too.
import { closeSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { Subject, share } from 'rxjs';
import { serve } from '../../../lib/index.ts';
import { metrics as openTelemetry } from '../../../lib/opentelemetry/index.ts';
import { metrics as prometheus } from '../../../lib/prometheus/index.ts';

class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

const { withDefaults = false } = JSON.parse(process.argv[2] ?? '{}');
const registry = new Registry();
const reader = new Reader();
if (withDefaults) collectDefaultMetrics({ register: registry });
const shutdown = new Subject<void>();
const events = serve({ port: 0, host: '127.0.0.1' }, (client) => client, { shutdown, grace: 0 }).pipe(share());
prometheus(events, { registry });
openTelemetry(events, { meter: new MeterProvider({ readers: [reader] }).getMeter('scraped') });

const failure = (work: () => unknown): string => {
  try {
    work();
    return 'nothing';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
};

async function scrape(): Promise<void> {
  const files: number[] = [];
  while (failure(() => files.push(openSync('/dev/null', 'r'))) === 'nothing');
  const memoryUsage = failure(() => process.memoryUsage());
  const settled = (work: Promise<unknown>) => work.then(JSON.stringify, (error) => `failed: ${error}`);
  const text = await settled(registry.metrics());
  const again = await settled(registry.metrics());
  const { errors, resourceMetrics } = await reader.collect();
  const { metrics = [] } = resourceMetrics.scopeMetrics[0] ?? {};
  const accepted = metrics.find(({ descriptor }) => descriptor.name === 'sluice.accepted_connections');
  for (const file of files) closeSync(file);
  const seen = {
    files: files.length,
    memoryUsage,
    text,
    again,
    errors: errors.map(String),
    accepted: accepted?.dataPoints,
  };
  process.stdout.write(`${JSON.stringify({ type: 'scraped', ...seen })}\n`);
  shutdown.next();
}

events.subscribe((event) => {
  if (event.type === 'opened') setImmediate(scrape);
  if (event.type === 'listening') connect(event.address.port ?? 0, '127.0.0.1').on('error', () => {});
});
