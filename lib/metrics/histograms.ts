import type { HistogramInstrument } from './instrument.ts';

/** As of the durations of handshakes and requests in the conventions of OpenTelemetry. */
const WAITS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** The instruments whose values are recorded. The bounds are those of the same instruments of Kestrel. */
export const histograms = {
  duration: {
    name: 'sluice.connection.duration',
    kind: 'histogram',
    unit: 's',
    description:
      'The duration of connections that were served; error.type is the close reason of those that did not end well.',
    attributes: ['error.type'],
    bounds: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
  },
  queueDuration: {
    name: 'sluice.connection.queue.duration',
    kind: 'histogram',
    unit: 's',
    description: 'The time from the accept of connections until they were served.',
    attributes: [],
    bounds: WAITS,
  },
  handshakeDuration: {
    name: 'sluice.tls_handshake.duration',
    kind: 'histogram',
    unit: 's',
    description: 'The duration of TLS handshakes of arriving connections; error.type is why they failed.',
    attributes: ['tls.protocol.version', 'error.type'],
    bounds: WAITS,
  },
} as const satisfies Record<string, HistogramInstrument>;
