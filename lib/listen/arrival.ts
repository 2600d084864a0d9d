import { plainAddress } from '../address.ts';
import type { SocketConnection } from '../connection/socketConnection.ts';
import { isA, ProxyHeaderError, TlsError } from '../errors.ts';
import type { Linked, LinkedSet } from '../linkedSet.ts';
import { decodeProxyHeader } from '../proxyProtocol/decode.ts';
import { Gathered } from '../tls/gathered.ts';
import { HelloReader } from '../tls/helloReader.ts';
import { secure } from '../tls/secure.ts';
import type { SecuredSocket, SecureSocket } from '../tls/secureSocket.ts';
import type { TlsSide } from '../tls/tlsSide.ts';
import type { Address, SocketHandler, TransportSocket } from '../transport/transport.ts';

/** What an arrival reports, and what it is to do. */
export interface ArrivalOwner {
  /** Whether a PROXY header comes first; `undefined` if the port has none. */
  readonly proxy: { readonly isRequired: boolean; isTrusted(address: Address): boolean } | undefined;
  readonly hasTls: boolean;
  /** The PROXY header was read, or there is none: its deadline is over. @returns Whether the client comes in, or else it is refused. */
  identified(arrival: Arrival): boolean;
  /** The first message of the handshake is complete: begins the handshake, now or later. */
  helloRead(arrival: Arrival): void;
  /** The connection can be handed out. */
  ready(arrival: Arrival): void;
  refuse(arrival: Arrival, reason: 'proxy' | 'tls' | 'gone', error?: Error): void;
  /** Its socket is closed, or about to be. */
  left(arrival: Arrival): void;
}

/**
 * What an arrival waits for, in this order.
 *
 * | stage       | waits for                                      | then                                       |
 * |-------------|------------------------------------------------|--------------------------------------------|
 * | `header`    | the PROXY header, on a port that has one       | the connection has the client's address    |
 * | `hello`     | the first message of TLS, on a port with TLS   | the arrival queues for its handshake       |
 * | `queued`    | its turn, because handshakes cost CPU time     | the socket becomes a {@link SecureSocket}  |
 * | `handshake` | the end of the handshake                       | the connection has its `security`          |
 * | `over`      | nothing: it was handed out, or refused         |                                            |
 */
type Stage = 'header' | 'hello' | 'queued' | 'handshake' | 'over';

/**
 * A connection from its accept until it can be handed out: reads its PROXY header, and secures it. Meanwhile this handles what
 * its socket reports.
 */
export class Arrival implements SocketHandler, Linked<Arrival> {
  following: Arrival | undefined;
  preceding: Arrival | undefined;
  place = 0;
  memberOf: LinkedSet<Arrival> | undefined;
  readonly connection: SocketConnection;
  /** When the deadline of its handshake is over. */
  readonly until: number;
  /** Its wait for the PROXY header, on a port that has one. */
  headerWait: HeaderWait | undefined;
  /** The checks of its peer were made when it was accepted. */
  isAdmitted = false;
  /** Its handshake has begun, or has its turn later. */
  isSecuring = false;
  readonly #owner: ArrivalOwner;
  /** Milliseconds from the accept until the handshake can begin. */
  #headerTime = 0;
  readonly #bytes = new Gathered();
  #socket: TransportSocket;
  #stage: Stage;
  #hello: HelloReader | undefined;

  constructor(connection: SocketConnection, socket: TransportSocket, owner: ArrivalOwner, until: number) {
    this.connection = connection;
    this.until = until;
    this.#socket = socket;
    this.#owner = owner;
    this.#stage = owner.proxy ? 'header' : 'hello';
  }

  /** Whether the peer has sent something. */
  get hasBegun(): boolean {
    return this.#bytes.length > 0;
  }

  get isOver(): boolean {
    return this.#stage === 'over';
  }

  begin(): void {
    this.#socket.handler = this;
    const { proxy } = this.#owner;
    // Such as a health check of the proxy that has reset the connection already: its address cannot be looked up.
    if (this.#socket.peer.port === undefined && this.connection.abandoned) return this.#refuse('gone');
    if (proxy?.isRequired && !proxy.isTrusted(this.#socket.peer))
      return this.#refuseProxy(untrusted(this.#socket.peer));
    this.#socket.resume();
  }

  // The stages ---------------------------------------------------------------------------------------------------------

  #read(chunk: Uint8Array): void {
    if (this.#stage === 'header') this.#readHeader();
    else if (this.#stage === 'hello') this.#readHello(chunk);
  }

  #readHeader(): void {
    const { proxy } = this.#owner;
    const decoded = decodeProxyHeader(this.#bytes.bytes);
    if (decoded.kind === 'more') return;
    if (decoded.kind === 'absent') {
      if (proxy?.isRequired) throw new ProxyHeaderError('the connection does not begin with one');
      this.goOn();
    } else {
      const { peer } = this.#socket;
      if (!proxy?.isTrusted(peer)) throw untrusted(peer);
      this.#bytes.drop(decoded.length);
      const { header } = decoded;
      // A health check of the proxy (LOCAL), or a client that it does not know.
      this.connection.originates({ client: header.source && plain(header.source), via: { ...peer, header } });
      this.goOn();
    }
  }

  /** The PROXY header was read, or there is none. */
  goOn(): void {
    this.#stage = 'hello';
    this.#headerTime = this.connection.watchdog.age;
    if (!this.#owner.identified(this)) return;
    if (this.#owner.hasTls) this.#readHello(this.#bytes.bytes);
    else this.#handOver();
  }

  #readHello(chunk: Uint8Array): void {
    this.#hello ??= new HelloReader();
    if (!this.#hello.take(chunk)) return;
    this.#stage = 'queued';
    this.#owner.helloRead(this);
    if (this.#stage === 'queued') this.#socket.pause();
  }

  /** Begins the handshake. @param hasWaited It has waited for its turn, and its socket did not read meanwhile. */
  secure(side: TlsSide, hasWaited: boolean): void {
    if (hasWaited && this.connection.abandoned) return this.#refuse('gone');
    this.#stage = 'handshake';
    try {
      this.#socket = secure(side, this.#socket, this.#bytes.bytes, (socket) => this.#secured(socket));
    } catch (error) {
      return this.#refuse('tls', error as Error);
    }
    this.#socket.handler = this;
    this.connection.replaceSocket(this.#socket);
  }

  #secured(socket: SecuredSocket): void {
    if (socket !== this.#socket) {
      this.#socket = socket;
      socket.handler = this.isOver ? this.connection : this;
      this.connection.replaceSocket(socket);
    }
    // It was refused meanwhile.
    if (this.isOver) return;
    this.connection.originates({ security: socket.security, handshake: this.#handshakeTime });
    this.connection.inContext(() => this.#handOver());
  }

  /** What was read and belongs to the handler is passed on with the connection. */
  #handOver(): void {
    const rest = this.#stage === 'handshake' ? undefined : this.#bytes.bytes;
    this.#leave();
    this.#socket.pause();
    this.connection.originates({ preamble: this.connection.watchdog.age });
    if (rest !== undefined && rest.length > 0) this.connection.input.unshift(rest);
    this.#owner.ready(this);
  }

  #refuseProxy(error: unknown): void {
    this.#refuse('proxy', error as Error);
  }

  #refuse(reason: 'proxy' | 'tls' | 'gone', error?: Error): void {
    if (this.isOver) return;
    if (reason === 'tls') this.handshakeFailed();
    this.#leave();
    this.#owner.refuse(this, reason, error);
  }

  /** The handshake has failed, or was not complete in time. */
  handshakeFailed(): void {
    this.connection.originates({ handshake: this.#handshakeTime });
  }

  get #handshakeTime(): number {
    return this.connection.watchdog.age - this.#headerTime;
  }

  /** From now on the connection itself handles what its socket reports. */
  leave(): void {
    if (!this.isOver) this.#leave();
  }

  #leave(): void {
    this.#stage = 'over';
    this.#socket.handler = this.connection;
    this.#owner.left(this);
  }

  // What the socket reports (SocketHandler) ------------------------------------------------------------------------------

  received(chunk: Uint8Array): void {
    this.#bytes.add(chunk);
    try {
      this.#read(chunk);
    } catch (error) {
      if (!isA(error, ProxyHeaderError)) throw error;
      this.#refuseProxy(error);
    }
  }

  peerEnded(): void {
    if (this.#stage !== 'header' || this.#bytes.length === 0) return this.#refuse('gone');
    this.#refuseProxy(new ProxyHeaderError(`the input ended after ${this.#bytes.length} bytes of it`));
  }

  failed(error: Error): void {
    if (this.#stage === 'handshake' && isA(error, TlsError)) return this.#refuse('tls', error);
    this.leave();
    this.connection.failed(error);
  }

  freed(): void {
    this.leave();
    this.connection.freed();
  }

  // Nothing is written before the connection is handed out.
  writable(): void {}
  finished(): void {}
  writeFailed(): void {}
}

/** The wait of an arrival for its PROXY header. */
export class HeaderWait implements Linked<HeaderWait> {
  following: HeaderWait | undefined;
  preceding: HeaderWait | undefined;
  place = 0;
  memberOf: LinkedSet<HeaderWait> | undefined;
  readonly arrival: Arrival;
  readonly until: number;

  constructor(arrival: Arrival, until: number) {
    this.arrival = arrival;
    this.until = until;
  }
}

/** The same client, whether or not the proxy maps its address into IPv6. */
const plain = ({ address, port }: Address): Address => ({ address: plainAddress(address), port });

function untrusted({ address }: Address): ProxyHeaderError {
  return new ProxyHeaderError(`${address ?? 'the peer'} may not send one: its address is not trusted`);
}
