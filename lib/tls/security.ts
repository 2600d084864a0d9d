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
  readonly peerCertificate: X509Certificate | undefined;

  constructor(socket: TLSSocket) {
    // Read now: once the socket is closed, it does not have it.
    this.peerCertificate = socket.getPeerX509Certificate();
    this.protocol = socket.getProtocol() ?? undefined;
    this.cipher = socket.getCipher().standardName;
    this.alpn = socket.alpnProtocol || undefined;
    this.servername = (socket as { servername?: string | false | null }).servername || undefined;
    this.isResumed = socket.isSessionReused();
    this.isVerified = socket.authorized;
    const { authorizationError } = socket;
    this.verifyError = authorizationError ? String(authorizationError) : undefined;
  }
}
