import { isIP } from 'node:net';
import { type Attributes, context, type Span, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { closeReasons } from '../connection/closing.ts';
import type { Connection } from '../connection/connection.ts';
import type { Closed } from '../events.ts';
import { withContext } from '../flow/context.ts';
import type { Handler } from '../flow/reply.ts';
import { callable, check, checkArgument, having, text } from '../options.ts';
import { recordFailure } from './recordFailure.ts';

/** How to trace connections. */
export interface ConnectionTracing {
  /** Makes the spans. @default trace.getTracer('sluice') */
  readonly tracer?: Tracer | undefined;
  /** The name of the spans: few different ones, such as the name of the service. @default 'connection' */
  readonly name?: string | undefined;
  /** Further attributes of the span of a connection. What it throws ends the connection as `failed`. @default none */
  readonly attributes?: ((connection: Connection) => Attributes) | undefined;
}

/**
 * Traces connections: a span for each, from its accept until its socket is closed. It is active in every callback of the handler, as
 * described for {@link withContext}, and is the parent of the spans that are started there.
 *
 * The attributes follow OpenTelemetry's conventions: `network.transport`, `network.type`, `network.peer.address`,
 * `network.peer.port`, `server.address`, `server.port`; `client.address` and `client.port` of a client behind a proxy;
 * `tls.protocol.version` and `tls.cipher`. At the end there are `sluice.connection.close_reason`, `sluice.connection.bytes_in` and
 * `sluice.connection.bytes_out`. `error.type` is the close reason unless the connection ended in good order. The status is an error if
 * that is the fault of the handler or of the server, and not of the peer.
 *
 * @example
 * ```ts
 * const find = traceRequests((name: string) => database.find(name));
 * serve({ port: 7000 }, traceConnections(exchange(lines(), find))).subscribe();
 * ```
 *
 * @param handler From a connection to its replies.
 * @param options See {@link ConnectionTracing}.
 * @returns A handler.
 * @throws TypeError for a handler that is not a function, and for options that do not exist or are not allowed.
 */
export function traceConnections(handler: Handler, options: ConnectionTracing = {}): Handler {
  checkArgument('trace connections', 'the handler', handler, callable);
  const {
    tracer = trace.getTracer('sluice'),
    name = 'connection',
    attributes,
  } = check('trace connections', options, {
    tracer: having('a Tracer', 'startSpan'),
    name: text,
    attributes: callable,
  });
  return withContext((connection, run) => {
    const span = tracer.startSpan(name, {
      kind: SpanKind.SERVER,
      startTime: connection.openedAt,
      attributes: Object.assign(attributesOf(connection), attributes?.(connection)),
    });
    // One that is not sampled is active all the same: what is started within is not sampled either.
    if (span.isRecording()) {
      // A system call: not for those that are not sampled.
      const { address, port } = connection.local;
      if (address !== undefined) span.setAttribute('server.address', address);
      if (port !== undefined) span.setAttribute('server.port', port);
      connection.closed.subscribe((closed) => end(span, closed));
    }
    context.with(trace.setSpan(context.active(), span), run);
  }, handler);
}

function attributesOf({ id, peer, via, security }: Connection): Attributes {
  const direct = via ?? peer;
  const version = isIP(direct.address ?? '');
  // Assigned one by one, because this runs for each connection, also for those that are not sampled: a sampler may ask for them.
  const attributes: Attributes = {
    'sluice.connection.id': id,
    'network.transport': direct.port === undefined && version === 0 ? 'unix' : 'tcp',
  };
  if (version !== 0) attributes['network.type'] = version === 4 ? 'ipv4' : 'ipv6';
  if (direct.address !== undefined) attributes['network.peer.address'] = direct.address;
  if (direct.port !== undefined) attributes['network.peer.port'] = direct.port;
  if (via && peer.address !== undefined) attributes['client.address'] = peer.address;
  if (via && peer.port !== undefined) attributes['client.port'] = peer.port;
  if (security?.protocol !== undefined) attributes['tls.protocol.version'] = security.protocol.replace(/^TLSv/, '');
  if (security !== undefined) attributes['tls.cipher'] = security.cipher;
  return attributes;
}

function end(span: Span, { reason, bytesIn, bytesOut, error }: Closed): void {
  span.setAttributes({
    'sluice.connection.close_reason': reason,
    'sluice.connection.bytes_in': bytesIn,
    'sluice.connection.bytes_out': bytesOut,
  });
  const { fault } = closeReasons[reason];
  if (fault !== 'none') span.setAttribute('error.type', reason);
  if (fault === 'handler') recordFailure(span, error);
  else if (fault === 'server') span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
  span.end();
}
