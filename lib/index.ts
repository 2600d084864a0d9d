// The package's public names, by folder. A name that is not exported here is the library's own, and may change.

// A whole server.
export { type Handler, type ServeOptions, serve } from './serve.ts';

// The port.
export { listen } from './listen/listen.ts';
export type { ListenOptions } from './listen/listenOptions.ts';
export type { Admit } from './listen/admission.ts';
export type { CompareWorth } from './listen/eviction.ts';
export type { WaitingOrder } from './listen/handOutOrder.ts';
export { inherited } from './listen/inherited.ts';
export type { Overflow } from './listen/eviction.ts';
export type { Live } from './listen/live.ts';
export type { PerAddressLimit } from './options.ts';
export type { Farewell, RefusalInfo } from './listen/refusal.ts';

// The client's side.
export { type ConnectOptions, connect } from './connect/connect.ts';

// A connection.
export type { Connection } from './connection/connection.ts';
export type { Stream } from './connection/bytes.ts';
export { type BytesOperator, type OperatorSink, operateBytes } from './connection/operateBytes.ts';
export type { BytesControl } from './connection/operatorControl.ts';
export type { ByteSink } from './connection/source.ts';
export type { ConnectionOptions } from './connection/settings.ts';
export type { Data, Overrun } from './connection/writeQueue.ts';

// Framing.
export { type DelimitedOptions, delimited, encodeDelimited } from './framing/delimited.ts';
export { BLANK, type Decoder, type Input, PENDING } from './framing/decoder.ts';
export { Carry } from './framing/carry.ts';
export { frames } from './framing/frames.ts';
export type { FrameOptions, FrameTimeOptions } from './framing/options.ts';
export { inPlace } from './framing/inPlace.ts';
export { encodeJson, type JsonOptions, json } from './framing/json.ts';
export { encodeLengthPrefixed, type LengthPrefix } from './framing/lengthPrefix.ts';
export { type LengthPrefixedOptions, lengthPrefixed } from './framing/lengthPrefixed.ts';
export { encodeLine, type LinesOptions, lines } from './framing/lines.ts';
export { SkippedFrame } from './framing/skippedFrame.ts';

// Flow.
export { type Broadcast, broadcast, type MemberOptions } from './flow/broadcast.ts';
export { contextOf, inContextOf, withContext } from './flow/context.ts';
export { type ExchangeOptions, exchange, type Reply } from './flow/exchange.ts';
export { type RelayOptions, relay } from './flow/relay.ts';

// Deadlines.
export { deadline } from './deadline/deadline.ts';
export { greeting } from './deadline/greeting.ts';
export { idle } from './deadline/idle.ts';

// TLS.
export {
  type CertificateFiles,
  type CertificatePaths,
  type CertificatesOptions,
  certificates,
} from './tls/certificates.ts';
export type { TlsClientOptions, TlsOptions } from './tls/tlsSide.ts';

// Shutdown.
export { signals } from './shutdown/signals.ts';

// Logging.
export { boundedStdout } from './logging/boundedStdout.ts';
export { type EventLogger, logTo } from './logging/logTo.ts';
export { printable } from './logging/printable.ts';

// The PROXY protocol.
export { encodeProxyHeader, type ProxyHeaderOptions } from './proxyProtocol/encode.ts';
export type { ProxyHeader, ProxySsl, ProxyTlv } from './proxyProtocol/header.ts';

// Events.
export type {
  CertificateEvent,
  CertificateInfo,
  Closed,
  ConnectionView,
  ClosedEvent,
  CloseReason,
  Counters,
  Limits,
  DrainedEvent,
  DrainingEvent,
  DrainReport,
  ExhaustedEvent,
  FailedEvent,
  HoardingEvent,
  ListenEvent,
  ListeningEvent,
  LiveSet,
  OpenedEvent,
  OvercommittedEvent,
  Paused,
  ProgressEvent,
  RecoveredEvent,
  RefusalReason,
  RefusedEvent,
  Resources,
  Security,
  ServerEvent,
  Via,
} from './events.ts';
export type { ChannelMessage, ChannelServer } from './channels.ts';
export type {
  ClosedChange,
  ConnectionRow,
  ConnectionState,
  ConnectionTable,
  DrainingChange,
  OpenedChange,
  Rehearsal,
  RehearsalOptions,
  TableChange,
  TableSnapshot,
} from './table.ts';

// Errors.
export {
  AlreadySubscribedError,
  CertificateError,
  ConnectionClosedError,
  DeadlineError,
  type DeadlineName,
  EvictedError,
  FrameInvalidError,
  FrameTooLongError,
  FrameTruncatedError,
  InheritedSocketError,
  type InheritedSocketReason,
  ProxyHeaderError,
  SlowConsumerError,
  TlsError,
} from './errors.ts';

// The network and the clock, which are options of a server.
export { monotonic } from './time/monotonic.ts';
export { netTransport, nodeTransport } from './transport/node.ts';
export type {
  Address,
  Destination,
  Dial,
  DialHandler,
  Port,
  PortHandler,
  SocketHandler,
  SocketOptions,
  Transport,
  TransportOptions,
  TransportSocket,
  Where,
} from './transport/transport.ts';
