import { type Span, SpanStatusCode } from '@opentelemetry/api';
import { describe } from '../options.ts';

/**
 * Records what a handler or a request has failed with, and sets the status. It never throws, whatever that value is: its getters are
 * user code, and the failure itself has still to be reported.
 */
export function recordFailure(span: Span, error: unknown): void {
  try {
    span.recordException(error instanceof Error ? error : describe(error));
  } catch {}
  span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
}

/** The class of an error, for `error.type`: one of few. */
export function typeOfError(error: unknown): string {
  try {
    return error instanceof Error ? String(error.name) : typeof error;
  } catch {
    return 'Error';
  }
}

function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : describe(error);
  } catch {
    return 'an error that cannot be described';
  }
}
