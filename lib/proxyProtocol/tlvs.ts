import { ProxyHeaderError } from '../errors.ts';
import type { ProxyHeader, ProxySsl, ProxyTlv } from './header.ts';
import { TLV_FIXED } from './wire.ts';

/** Where the value of a TLV is in a header. */
export interface Span {
  readonly type: number;
  readonly from: number;
  readonly to: number;
}

/** Finds the TLVs between two positions. @returns `undefined` if the last one runs past the end. */
export function spansOf(bytes: Buffer, from: number, end: number): Span[] | undefined {
  const spans: Span[] = [];
  let at = from;
  while (at < end) {
    const value = at + TLV_FIXED;
    if (value > end) return undefined;
    const to = value + bytes.readUInt16BE(at + 1);
    if (to > end) return undefined;
    spans.push({ type: bytes.readUInt8(at), from: value, to });
    at = to;
  }
  return spans;
}

/** Copies the TLVs, because the memory of the header may be overwritten. */
export const tlvsOf = (bytes: Buffer, spans: readonly Span[]): ProxyTlv[] =>
  spans.map(({ type, from, to }) => ({ type, value: new Uint8Array(bytes.subarray(from, to)) }));

/** The bytes of a TLV. */
export function encodeTlv({ type, value }: ProxyTlv): Uint8Array {
  return Buffer.concat([Uint8Array.of(type, value.length >> 8, value.length & 0xff), value]);
}

/** A TLV that has a name: its type, and both directions between its value and its bytes. */
interface Field<T> {
  readonly type: number;
  read(bytes: Buffer): T;
  write(value: T): Uint8Array;
}

/** Named TLVs of the fields of T that may be absent. */
type Fields<T> = { readonly [K in keyof T]-?: Field<Exclude<T[K], undefined>> };

const text = (type: number, encoding: 'latin1' | 'utf8'): Field<string> => ({
  type,
  read: (bytes) => bytes.toString(encoding),
  write: (value) => Buffer.from(value, encoding),
});
// Each byte is a character of its own in latin1. So nothing is lost of bytes that are not ASCII, as a protocol name may have them.
const ascii = (type: number) => text(type, 'latin1');
const utf8 = (type: number) => text(type, 'utf8');
const opaque = (type: number): Field<Uint8Array> => ({
  type,
  read: (bytes) => new Uint8Array(bytes),
  write: (value) => value,
});

/** The bytes of a unique id at most (section 2.2.5). */
export const UNIQUE_ID_BYTES = 128;

const uniqueId: Field<Uint8Array> = {
  ...opaque(0x05),
  read(bytes) {
    if (bytes.length <= UNIQUE_ID_BYTES) return new Uint8Array(bytes);
    throw new ProxyHeaderError(`its unique id has ${bytes.length} bytes, at most ${UNIQUE_ID_BYTES} allowed`);
  },
};

type SslText = Omit<ProxySsl, 'tls' | 'certOnConnection' | 'certInSession' | 'verified'>;

/** The TLVs within that of TLS. */
const SSL: Fields<SslText> = {
  version: ascii(0x21),
  cn: utf8(0x22),
  cipher: ascii(0x23),
  sigAlg: ascii(0x24),
  keyAlg: ascii(0x25),
  group: ascii(0x26),
  sigScheme: ascii(0x27),
  clientCert: opaque(0x28),
};

/** The bytes of the TLV of TLS before the TLVs in it: the bits of the client, and the result of the verification. */
const SSL_FIXED = 5;
const CLIENT_SSL = 0x01;
const CLIENT_CERT_CONN = 0x02;
const CLIENT_CERT_SESS = 0x04;

const ssl: Field<ProxySsl> = {
  type: 0x20,
  read(bytes) {
    if (bytes.length < SSL_FIXED) throw new ProxyHeaderError(`its TLS field has ${bytes.length} bytes, fewer than 5`);
    const spans = spansOf(bytes, SSL_FIXED, bytes.length);
    if (!spans) throw new ProxyHeaderError('a field of its TLS field runs past the end');
    const bits = bytes.readUInt8(0);
    const tls = (bits & CLIENT_SSL) !== 0;
    const certOnConnection = (bits & CLIENT_CERT_CONN) !== 0;
    const certInSession = (bits & CLIENT_CERT_SESS) !== 0;
    // HAProxy also sends 0 if there is no certificate, because it has verified nothing.
    const verified = tls && (certOnConnection || certInSession) && bytes.readUInt32BE(1) === 0;
    return { tls, certOnConnection, certInSession, verified, ...readFields(SSL, bytes, spans) };
  },
  write({ tls, certOnConnection, certInSession, verified, ...fields }) {
    const bits =
      (tls ? CLIENT_SSL : 0) | (certOnConnection ? CLIENT_CERT_CONN : 0) | (certInSession ? CLIENT_CERT_SESS : 0);
    const fixed = Uint8Array.of(bits, 0, 0, 0, verified ? 0 : 1);
    return Buffer.concat([fixed, ...writeFields(SSL, fields).map(encodeTlv)]);
  },
};

/** The TLVs of a header that have a name. */
export type Named = Pick<ProxyHeader, 'alpn' | 'authority' | 'uniqueId' | 'ssl' | 'netns'>;

/** The TLVs of a header that have a name, in the order in which they are written. */
export const NAMED: Fields<Named> = {
  alpn: ascii(0x01),
  authority: utf8(0x02),
  uniqueId,
  ssl,
  netns: ascii(0x30),
};

/**
 * Reads the TLVs that have a name. Of several with the same type the first one counts, as in HAProxy.
 *
 * @throws ProxyHeaderError for a value that is not possible.
 */
export function readFields<T>(table: Fields<T>, bytes: Buffer, spans: readonly Span[]): T {
  const values: Record<string, unknown> = {};
  for (const name in table) {
    const span = spans.find(({ type }) => type === table[name].type);
    if (span) values[name] = table[name].read(bytes.subarray(span.from, span.to));
  }
  return values as T;
}

/** The TLVs of the values that are given. */
export function writeFields<T>(table: Fields<T>, values: T): ProxyTlv[] {
  const tlvs: ProxyTlv[] = [];
  for (const name in table) {
    const value = values[name];
    const { type, write } = table[name];
    if (value !== undefined) tlvs.push({ type, value: write(value as Exclude<T[typeof name], undefined>) });
  }
  return tlvs;
}
