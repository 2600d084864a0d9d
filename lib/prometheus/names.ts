import type { Attributes, HistogramInstrument, Instrument } from '../metrics/instrument.ts';

const UNITS: Readonly<Record<string, string>> = { s: 'seconds', By: 'bytes' };

/** A name of OpenTelemetry as Prometheus has it. */
export const sanitized = (name: string): string => name.replace(/[^A-Za-z0-9_]/g, '_').replace(/^(?=\d)/, '_');

/** Attributes as Prometheus has them. */
export function labelsOf(attributes: Attributes): Record<string, string | number> {
  const entries = Object.entries(attributes).map(([name, value]) => [sanitized(name), value] as const);
  return Object.fromEntries(entries);
}

/** The name of an instrument by the rules of Prometheus: with its unit, and with `_total` if it only grows. */
export function prometheusName({ name, unit, kind }: Instrument<never> | HistogramInstrument): string {
  const suffix = UNITS[unit] === undefined ? '' : `_${UNITS[unit]}`;
  return `${sanitized(name)}${suffix}${kind === 'counter' ? '_total' : ''}`;
}
