import { authority, type Issued } from '../certificates.ts';

/** Whether the specs run over TLS. */
export const isOverTls = process.env.SLUICE_TLS === '1';

interface Certificate extends Issued {
  /** What clients trust. */
  readonly ca: string;
}

/** Spec files share a process, and each loads this module anew. */
const KEY = Symbol.for('sluice.overTls');
const shared = globalThis as { [KEY]?: Promise<Certificate> };

async function make(): Promise<Certificate> {
  const { ca, issue } = await authority().then((root) => ({ ca: root.ca, issue: root.issue({}) }));
  return { ca, ...(await issue) };
}

/** Made once in a process. */
shared[KEY] ??= make();
export const certificate: Promise<Certificate> = shared[KEY];
