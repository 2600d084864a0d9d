import type { AdminRefusedEvent } from './events.ts';

/** A request that is not carried out: what is answered. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  /** The status code of HTTP. */
  readonly status: number;
  /** In one word: what a program decides by. */
  readonly reason:
    | AdminRefusedEvent['reason']
    | 'invalid'
    | 'missing'
    | 'method'
    | 'too-large'
    | 'failed'
    | 'starting'
    | 'draining';
  /** Further headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, reason: RequestError['reason'], message: string, headers: RequestError['headers'] = {}) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.headers = headers;
  }
}

/** Does something that checks what the client has sent: what is wrong with it is the client's to know. */
export function checking<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw invalid(error.message);
    throw error;
  }
}

export const invalid = (sentence: string): RequestError => new RequestError(400, 'invalid', sentence);
