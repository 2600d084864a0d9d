import type { Address } from '../transport/transport.ts';

/**
 * The header of the PROXY protocol: what a proxy tells a server about the client of a connection, before the client's first byte.
 *
 * It follows HAProxy's specification, `doc/proxy-protocol.txt` of its repository, as of 2026-04-27; the sections below are its.
 */
export interface ProxyHeader {
  /** The version of the format: 1 is a line of text (section 2.1), 2 is binary (section 2.2). */
  readonly version: 1 | 2;
  /**
   * `'proxy'` if the connection is relayed for a client; `'local'` if it is one of the proxy itself, such as a health check. Version
   * 1 has only `'proxy'`.
   */
  readonly command: 'proxy' | 'local';
  /**
   * The address of the client; `undefined` if the header has none (UNKNOWN, UNSPEC and LOCAL): then the addresses of the connection
   * itself apply.
   *
   * An IPv6 address is in its canonical text (RFC 5952). An IPv4 address that the header maps into IPv6 is kept as
   * `::ffff:1.2.3.4`, as a socket for both families shows it, too. It is the same client as `1.2.3.4`, but the header can then be
   * passed on unchanged. A unix socket has its path as the address, with a NUL in front if the name is abstract, and no port. The
   * path of an unnamed unix socket is `undefined`.
   */
  readonly source: Address | undefined;
  /** The address that the client connected to, in the same forms; `undefined` if `source` is. */
  readonly destination: Address | undefined;
  /** The protocol that was negotiated with the client, such as `'h2'` (section 2.2.1). Each character is a byte. */
  readonly alpn?: string;
  /** The host name that the client asked for, such as the server name of TLS (section 2.2.2). */
  readonly authority?: string;
  /** What identifies the connection across proxies, at most 128 bytes, if that was sent (section 2.2.5). */
  readonly uniqueId?: Uint8Array;
  /** What the proxy tells about TLS between the client and itself, if it does (section 2.2.6). */
  readonly ssl?: ProxySsl;
  /** The name of the network namespace, if that was sent (section 2.2.7). */
  readonly netns?: string;
  /**
   * Every field behind the addresses, in the order of the header, including those that have a name above, the checksum and padding.
   * If a type comes twice, its name above has the first one, as in HAProxy. The values are copies that the user may keep.
   */
  readonly tlvs: readonly ProxyTlv[];
}

/** A field of a header of version 2, with its type and its value (section 2.2). */
export interface ProxyTlv {
  /** A number from 0 to 255. Those from 0xE0 to 0xEF are for applications (section 2.2.8). */
  readonly type: number;
  /** The value, in bytes. */
  readonly value: Uint8Array;
}

/**
 * TLS between the client and the proxy (section 2.2.6). In a text that the specification calls US-ASCII each character is a byte.
 * In one that it calls UTF-8 a byte that is not UTF-8 becomes U+FFFD; the bytes themselves are in `tlvs`.
 */
export interface ProxySsl {
  /** Whether the client connected over TLS (PP2_CLIENT_SSL). */
  readonly tls: boolean;
  /** Whether the client sent a certificate over this connection (PP2_CLIENT_CERT_CONN). */
  readonly certOnConnection: boolean;
  /** Whether the client sent a certificate at least once in this TLS session (PP2_CLIENT_CERT_SESS). */
  readonly certInSession: boolean;
  /**
   * Whether the client sent a certificate, and the proxy verified it. False without a certificate, although HAProxy then sends the
   * code for a verified one.
   */
  readonly verified: boolean;
  /** The version of TLS, such as `'TLSv1.3'`. */
  readonly version?: string;
  /** The common name in the client's certificate, if it has sent one. */
  readonly cn?: string;
  /** The cipher, such as `'ECDHE-RSA-AES128-GCM-SHA256'`. */
  readonly cipher?: string;
  /** The algorithm that the proxy's certificate is signed with, such as `'RSA-SHA256'`. */
  readonly sigAlg?: string;
  /** The algorithm of the key of the proxy's certificate, such as `'RSA2048'`. */
  readonly keyAlg?: string;
  /** The algorithm of the key exchange, such as `'secp256r1'`. */
  readonly group?: string;
  /** The algorithm that the proxy signed the handshake with, such as `'rsa_pss_rsae_sha256'`. */
  readonly sigScheme?: string;
  /** The client's certificate, in DER, if the proxy passes it on. */
  readonly clientCert?: Uint8Array;
}

/** What the first bytes of a connection are. */
export type Decoded =
  | {
      /** They begin with a header. */
      readonly kind: 'header';
      readonly header: ProxyHeader;
      /** The bytes of the header. What follows is the client's. */
      readonly length: number;
    }
  | {
      /** They are the beginning of a header. */
      readonly kind: 'more';
      /** The bytes from the beginning on without which it cannot be complete. */
      readonly needs: number;
    }
  | {
      /** They are no header, and would not become one. */
      readonly kind: 'absent';
    };
