/** The arguments of MAIL and RCPT. */
export interface PathArgument {
  /** The address without its angle brackets; `''` is the sender of a bounce. */
  readonly address: string;
  /** Parameters of extensions, such as SIZE=1000. Keywords are in upper case; one without a value has `''`. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** The longest local part, domain and path, in bytes. (RFC 5321, 4.5.3.1) */
const LONGEST = { local: 64, domain: 255, path: 254 };

// An atom may have any character beyond ASCII. (RFC 6531)
const ATOM = "[\\w!#$%&'*+/=?^`{|}~\\-\\u{80}-\\u{10ffff}]+";
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"`;
const LABEL = String.raw`[A-Za-z0-9\u{80}-\u{10ffff}](?:[\w\-\u{80}-\u{10ffff}]*[A-Za-z0-9\u{80}-\u{10ffff}])?`;
const DOMAIN = String.raw`${LABEL}(?:\.${LABEL})*\.?|\[[\w:.\-]+\]`;
const ROUTE = `(?:@(?:${DOMAIN})(?:,@(?:${DOMAIN}))*:)?`;
const MAILBOX = String.raw`(${ATOM}(?:\.${ATOM})*|${QUOTED})@(${DOMAIN})`;
/** A route before the address is obsolete: it is read and ignored. */
const PATH = new RegExp(`^<(?:${ROUTE}${MAILBOX}|(postmaster)|)>(?: +(.*))?$`, 'iu');
const PARAMETER = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\s=]+))?$/;

/** Reads `FROM:<address> parameters` or `TO:…`. @returns `undefined` if that is not its syntax. */
export function readPath(keyword: 'FROM' | 'TO', text: string): PathArgument | undefined {
  const start = keyword.length + 1;
  if (text.slice(0, start).toUpperCase() !== `${keyword}:`) return undefined;
  const match = PATH.exec(text.slice(start));
  if (match === null) return undefined;
  const [, local, domain, postmaster = '', rest] = match;
  const parameters = readParameters(rest ?? '');
  if (parameters === undefined) return undefined;
  if (local === undefined || domain === undefined) return { address: postmaster, parameters };
  const address = `${local}@${domain}`;
  const isTooLong = bytes(local) > LONGEST.local || bytes(domain) > LONGEST.domain || bytes(address) > LONGEST.path;
  return isTooLong ? undefined : { address, parameters };
}

function readParameters(text: string): Map<string, string> | undefined {
  const parameters = new Map<string, string>();
  for (const word of text.split(' ').filter(Boolean)) {
    const [, keyword, value = ''] = PARAMETER.exec(word) ?? [];
    const name = keyword?.toUpperCase();
    if (name === undefined || parameters.has(name)) return undefined;
    parameters.set(name, value);
  }
  return parameters;
}

const bytes = (text: string): number => Buffer.byteLength(text);

/** The name by which a client introduces itself: a domain, or an address in brackets. */
export const isClientName = (text: string): boolean => /^[\w.:[\]-]{1,255}$/.test(text);

export const isAscii = (text: string): boolean => bytes(text) === text.length;
