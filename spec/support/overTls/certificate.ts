import { createSecureContext } from 'node:tls';
import { authority } from '../certificates.ts';

interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** What clients trust. */
  readonly ca: string;
}

/** Spec files share a process, and each loads this module anew. */
const KEY = Symbol.for('sluice.overTls');
const shared = globalThis as { [KEY]?: Promise<Certificate> };

async function make(): Promise<Certificate> {
  const root = await authority();
  return { ca: root.ca, ...(await root.issue()) };
}

/** Made once in a process. */
shared[KEY] ??= make();
const { ca, cert, key } = await shared[KEY];

export const serverOptions = { cert, key };
/** One context for all clients: it costs more than a handshake. */
export const clientOptions = { ca, secureContext: createSecureContext({ ca }) };
