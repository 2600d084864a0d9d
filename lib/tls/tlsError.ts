import { isA, TlsError } from '../errors.ts';

/** The alerts of TLS by their number, as the registry of IANA names them (RFC 8446, section 6, and RFC 5246 for older ones). */
const ALERTS: Readonly<Record<number, string>> = {
  0: 'close_notify',
  10: 'unexpected_message',
  20: 'bad_record_mac',
  21: 'decryption_failed',
  22: 'record_overflow',
  30: 'decompression_failure',
  40: 'handshake_failure',
  41: 'no_certificate',
  42: 'bad_certificate',
  43: 'unsupported_certificate',
  44: 'certificate_revoked',
  45: 'certificate_expired',
  46: 'certificate_unknown',
  47: 'illegal_parameter',
  48: 'unknown_ca',
  49: 'access_denied',
  50: 'decode_error',
  51: 'decrypt_error',
  60: 'export_restriction',
  70: 'protocol_version',
  71: 'insufficient_security',
  80: 'internal_error',
  86: 'inappropriate_fallback',
  90: 'user_canceled',
  100: 'no_renegotiation',
  109: 'missing_extension',
  110: 'unsupported_extension',
  111: 'certificate_unobtainable',
  112: 'unrecognized_name',
  113: 'bad_certificate_status_response',
  114: 'bad_certificate_hash_value',
  115: 'unknown_psk_identity',
  116: 'certificate_required',
  120: 'no_application_protocol',
};

/** The alert that OpenSSL sends for each of the usual faults that it finds; Node does not tell it. */
const SENT: Readonly<Record<string, string>> = {
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'protocol_version',
  ERR_SSL_VERSION_TOO_LOW: 'protocol_version',
  ERR_SSL_NO_SHARED_CIPHER: 'handshake_failure',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'handshake_failure',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'handshake_failure',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'certificate_required',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'no_application_protocol',
  ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: 'bad_record_mac',
  ERR_SSL_BAD_RECORD_TYPE: 'unexpected_message',
  ERR_SSL_UNEXPECTED_MESSAGE: 'unexpected_message',
  ERR_SSL_ENCRYPTED_LENGTH_TOO_LONG: 'record_overflow',
  ERR_SSL_DATA_LENGTH_TOO_LONG: 'record_overflow',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'record_overflow',
  ERR_SSL_BAD_EXTENSION: 'decode_error',
  ERR_SSL_LENGTH_MISMATCH: 'decode_error',
  ERR_SSL_BAD_PACKET: 'decode_error',
  ERR_SSL_TLSV1_ALERT_INAPPROPRIATE_FALLBACK: 'inappropriate_fallback',
  ERR_SSL_INAPPROPRIATE_FALLBACK: 'inappropriate_fallback',
};

/** What OpenSSL says in words that only its authors understand. */
const MEANING: Readonly<Record<string, string>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: 'the peer sent something else than TLS',
  ERR_SSL_HTTP_REQUEST: 'the peer sent an HTTP request in clear text',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'the peer has only versions of TLS that are not allowed',
  ERR_SSL_NO_SHARED_CIPHER: 'both sides have no cipher in common',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'both sides have no protocol of ALPN in common',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'the peer sent no certificate',
};

/** Codes of what the network does. */
const NETWORK = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED', 'EHOSTUNREACH', 'ENETUNREACH'];

/** An error of `node:tls` as a {@link TlsError}; an error of the network as it is. */
export function tlsError(error: NodeJS.ErrnoException & { reason?: string }): Error {
  const { code = '', message } = error;
  if (isA(error, TlsError) || NETWORK.includes(code) || error.syscall !== undefined) return error;
  const [, number] = /SSL alert number (\d+)/.exec(message) ?? [];
  if (number !== undefined) {
    const alert = ALERTS[Number(number)] ?? `alert ${number}`;
    return new TlsError(`the peer sent the alert ${alert}`, { code, alert, sentBy: 'peer', cause: error });
  }
  const alert = SENT[code];
  // The message of OpenSSL has its thread, its function and the line of its source as well.
  const what = MEANING[code] ?? (code.startsWith('ERR_SSL_') ? (error.reason ?? message) : message);
  return new TlsError(what, { code, ...(alert !== undefined && { alert, sentBy: 'local' as const }), cause: error });
}
