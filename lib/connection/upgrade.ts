import type { SchedulerLike } from 'rxjs';
import { DeadlineError, TlsError } from '../errors.ts';
import type { Security } from '../events.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { endOfCallback } from '../time/eventLoop.ts';
import { Gathered } from '../tls/gathered.ts';
import { HelloReader } from '../tls/helloReader.ts';
import { secure } from '../tls/secure.ts';
import type { SecuredSocket } from '../tls/secureSocket.ts';
import type { TlsSide } from '../tls/tlsSide.ts';
import type { SocketHandler, TransportSocket } from '../transport/transport.ts';
import type { Input } from './input.ts';
import type { Output } from './output.ts';
import type { ConnectionSettings } from './settings.ts';

/** The connection that is upgraded. */
export interface UpgradeOwner {
  readonly clock: SchedulerLike;
  readonly settings: Pick<ConnectionSettings, 'upgrades'>;
  readonly input: Input;
  readonly output: Output;
  replaceSocket(socket: TransportSocket): void;
  /** The connection goes on, secured. */
  upgraded(security: Security): void;
  /** It is closed because of the peer. */
  abortWith(error: Error): void;
  inContext(work: () => void): void;
}

type Stage = 'clear' | 'hello' | 'queued' | 'handshake' | 'over';

/**
 * TLS begins in the middle of a conversation.
 *
 * | stage       | waits for                                               | then                                    |
 * |-------------|---------------------------------------------------------|-----------------------------------------|
 * | `clear`     | the network, to take what was written before            | nothing more is sent in clear text      |
 * | `hello`     | the first message of TLS; on the side of a server only  | the connection queues for its handshake |
 * | `queued`    | its turn, because handshakes cost CPU time              | the socket becomes a `SecureSocket`     |
 * | `handshake` | the end of the handshake                                | the connection goes on                  |
 * | `over`      | nothing                                                 |                                         |
 *
 * What is written meanwhile is sent after the handshake. What the peer has sent behind the frame that led to the upgrade may have
 * been injected by a third party, in clear text. It is never passed on: the connection is closed (RFC 3207, section 6, and
 * CVE-2011-0411).
 */
export class Upgrade implements SocketHandler, DeadlineOwner {
  readonly #owner: UpgradeOwner;
  readonly #handler: SocketHandler;
  readonly #side: TlsSide;
  readonly #timer: DeadlineTimer;
  readonly #endsAt: number;
  #socket: TransportSocket;
  #stage: Stage = 'clear';
  /** Whether it is known that nothing came in clear text. */
  #isChecked = false;
  /** Whether the input was read before. */
  #wasReading = false;
  #hello: HelloReader | undefined;
  #bytes: Gathered | undefined;
  #resolve: (security: Security) => void = ignore;
  #reject: (error: Error) => void = ignore;

  /**
   * @param handler Handles what the socket reports, before and after the upgrade.
   * @param side Our certificates and settings.
   */
  constructor(owner: UpgradeOwner, handler: SocketHandler, socket: TransportSocket, side: TlsSide) {
    this.#owner = owner;
    this.#handler = handler;
    this.#socket = socket;
    this.#side = side;
    this.#endsAt = owner.clock.now() + owner.settings.upgrades.deadline;
    this.#timer = new DeadlineTimer(owner.clock, this);
  }

  begin(): Promise<Security> {
    const secured = new Promise<Security>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { input, output, clock } = this.#owner;
    this.#timer.set();
    this.#wasReading = input.suspend();
    output.hold();
    // A framing operator that is passing on a frame stops behind it because of the pause. Then it reports what it holds.
    endOfCallback(clock, () => this.#owner.inContext(() => this.#check()));
    return secured;
  }

  #check(): void {
    if (this.#stage !== 'clear') return;
    const { weight, endRetained, peerEnded } = this.#owner.input;
    if (weight > 0) return this.#refuse(injected(weight));
    if (endRetained || peerEnded) return this.#refuse(left());
    this.#isChecked = true;
    this.taken();
  }

  /** The network has taken a write. */
  taken(): void {
    if (this.#stage !== 'clear' || !this.#isChecked || !this.#owner.output.queue.isTaken) return;
    const { queue } = this.#owner.settings.upgrades;
    if (queue === undefined) return this.#secure();
    this.#stage = 'hello';
    this.#socket.handler = this;
    this.#socket.resume();
  }

  received(chunk: Uint8Array): void {
    this.#bytes ??= new Gathered();
    this.#bytes.add(chunk);
    if (this.#stage !== 'hello') return;
    this.#hello ??= new HelloReader();
    if (!this.#hello.take(chunk)) return;
    this.#stage = 'queued';
    this.#socket.pause();
    this.#owner.settings.upgrades.queue?.add(() => {
      if (this.#stage !== 'queued') return false;
      this.#owner.inContext(() => this.#secure());
      return true;
    });
  }

  /** Begins the handshake. */
  #secure(): void {
    this.#stage = 'handshake';
    const hello = this.#bytes?.bytes ?? NOTHING;
    this.#bytes = this.#hello = undefined;
    try {
      this.#replace(secure(this.#side, this.#socket, hello, (socket) => this.#secured(socket)));
    } catch (error) {
      this.#refuse(error as Error);
    }
  }

  #replace(socket: TransportSocket): void {
    this.#socket = socket;
    socket.handler = this.#stage === 'over' ? this.#handler : this;
    this.#owner.replaceSocket(socket);
  }

  #secured(socket: SecuredSocket): void {
    if (socket !== this.#socket) this.#replace(socket);
    const { security } = socket;
    if (this.#stage === 'over' || security === undefined) return;
    this.#end();
    this.#resolve(security);
    this.#owner.inContext(() => {
      this.#owner.upgraded(security);
      this.#owner.input.restore(this.#wasReading);
    });
  }

  /** The connection is closed. */
  cancel(error: Error): void {
    if (this.#stage === 'over') return;
    this.#end();
    this.#reject(error);
  }

  #refuse(error: Error): void {
    this.cancel(error);
    this.#owner.abortWith(error);
  }

  #end(): void {
    this.#stage = 'over';
    this.#timer.clear();
    this.#socket.handler = this.#handler;
  }

  // What the socket reports (SocketHandler) ------------------------------------------------------------------------------

  peerEnded(): void {
    this.#refuse(left());
  }

  failed(error: Error): void {
    this.cancel(error);
    this.#handler.failed(error);
  }

  freed(): void {
    this.cancel(left());
    this.#handler.freed();
  }

  // Nothing is written before the end of the handshake.
  writable(): void {}
  finished(): void {}
  writeFailed(): void {}

  // The deadline (DeadlineOwner) -----------------------------------------------------------------------------------------

  due(): number {
    return this.#endsAt;
  }

  expire(): void {
    this.#owner.inContext(() => this.#refuse(new DeadlineError('handshake', this.#owner.settings.upgrades.deadline)));
  }
}

export const noTls = () => new TypeError('Cannot upgrade the connection: its transport has no TLS');

const left = () => new TlsError('the peer closed it before the end of the handshake', { code: 'ECONNRESET' });

const injected = (bytes: number) =>
  new TlsError(`${bytes} bytes came in clear text, which may not be the peer's`, { code: 'ERR_TLS_CLEAR_TEXT' });

const NOTHING = new Uint8Array(0);

const ignore = () => undefined;
