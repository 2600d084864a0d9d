import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Security } from '../events.ts';

/** What was negotiated in one handshake. */
export class SocketSecurity implements Security {
  readonly protocol: string | undefined;
  readonly cipher: string;
  readonly alpn: string | undefined;
  readonly servername: string | undefined;
  readonly isResumed: boolean;
  readonly isVerified: boolean;
  readonly verifyError: string | undefined;
  isTruncated = false;
  readonly #socket: TLSSocket;
  #certificate: X509Certificate | undefined;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.protocol = socket.getProtocol() ?? undefined;
    this.cipher = socket.getCipher().standardName;
    this.alpn = socket.alpnProtocol || undefined;
    this.servername = (socket as { servername?: string | false | null }).servername || undefined;
    this.isResumed = socket.isSessionReused();
    this.isVerified = socket.authorized;
    const { authorizationError } = socket;
    this.verifyError = authorizationError ? String(authorizationError) : undefined;
  }

  /** Parsed on the first call, because few handlers need it. */
  get peerCertificate(): X509Certificate | undefined {
    this.#certificate ??= this.#socket.getPeerX509Certificate();
    return this.#certificate;
  }

  /** The socket is about to be closed, and would then not know the certificate. */
  keepCertificate(): void {
    if (!this.#socket.destroyed) void this.peerCertificate;
  }
}
