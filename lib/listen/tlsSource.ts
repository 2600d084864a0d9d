import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isObservable, type Observable, of, type SchedulerLike, type Subscription } from 'rxjs';
import { TlsError } from '../errors.ts';
import type { CertificateEvent, FailedEvent } from '../events.ts';
import { describe } from '../options.ts';
import { type DeadlineOwner, DeadlineTimer } from '../time/deadlineTimer.ts';
import { endOfCallback } from '../time/eventLoop.ts';
import { certificateInfo } from '../tls/certificateInfo.ts';
import { type TlsOptions, type TlsSide, tlsServer } from '../tls/tlsSide.ts';

/** The shares of a certificate's validity that are left when the server warns: the renewal should have come before. */
const WARNINGS = [0.2, 0.05, 0];

export interface TlsSourceHandler {
  /** The first certificates are there: the port can be opened. */
  ready(): void;
  /** There are none, and will be none. */
  failed(error: unknown): void;
  emit(event: CertificateEvent | FailedEvent): void;
}

/**
 * The certificates and settings of TLS of one port, and their renewals.
 *
 * A renewal holds for the handshakes that begin after it. If `node:tls` does not accept one, the old ones stay.
 */
export class TlsSource implements DeadlineOwner {
  readonly #options: Observable<TlsOptions>;
  readonly #clock: SchedulerLike;
  readonly #handler: TlsSourceHandler;
  readonly #timer: DeadlineTimer;
  /** Shared by renewals, because a client may resume a session that it began before one. */
  #ticketKeys = randomBytes(48);
  /** The current options without the certificate and its key. */
  #policy: object | undefined;
  #side: TlsSide | undefined;
  #subscription: Subscription | undefined;
  #certificates: CertificateEvent['certificates'] = [];
  /** The wall clock at the begin of the clock: certificates are valid by the former, and timers run by the latter. */
  readonly #epoch: number;
  #warnings: number[] = [];
  /**
   * Events of the call that subscribes to the server. They are emitted at its end, because of several subscribers that share the
   * events only the first one has subscribed before.
   */
  #early: (CertificateEvent | FailedEvent)[] | undefined = [];
  #isClosed = false;

  constructor(options: TlsOptions | Observable<TlsOptions>, clock: SchedulerLike, handler: TlsSourceHandler) {
    this.#options = isObservable(options) ? options : of(options);
    this.#clock = clock;
    this.#handler = handler;
    this.#epoch = Date.now() - clock.now();
    this.#timer = new DeadlineTimer(clock, this);
  }

  /** The current ones. Not to be used before `ready`. */
  get side(): TlsSide {
    return this.#side as TlsSide;
  }

  start(): void {
    endOfCallback(this.#clock, () => this.emitEarly());
    this.#subscription = this.#options.subscribe({
      next: (options) => this.#renew(options),
      error: (error) => this.#fail(error),
      complete: () =>
        this.#side === undefined && this.#fail(new TypeError('Cannot listen: tls has emitted no options')),
    });
  }

  /** Emits the events of the first certificates, if that has not been done. */
  emitEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const event of early) if (!this.#isClosed) this.#handler.emit(event);
  }

  close(): void {
    this.#isClosed = true;
    this.#subscription?.unsubscribe();
    // An observer of a certificate event may have closed the port: then the timer is not armed again.
    this.#warnings = [];
    this.#timer.clear();
  }

  #renew(options: TlsOptions): void {
    const isFirst = this.#side === undefined;
    try {
      // What `certificates()` emits if the files are unusable.
      const { error } = (options ?? {}) as { readonly error?: unknown };
      if (error !== undefined) throw error;
      const policy = { ...options, cert: undefined, key: undefined, passphrase: undefined };
      // A client whose session is resumed shows no certificate, and is not verified again. So where more than our certificate
      // has changed, such as the authorities, no session from before may be resumed.
      const isSame = this.#policy === undefined || isDeepStrictEqual(policy, this.#policy);
      const ticketKeys = isSame ? this.#ticketKeys : randomBytes(48);
      this.#side = tlsServer({ ticketKeys, ...options });
      this.#policy = policy;
      this.#ticketKeys = ticketKeys;
      this.#certificates = certificateInfo(options);
    } catch (error) {
      return this.#fail(error);
    }
    const now = this.#now;
    this.#warnings = WARNINGS.map((share) => this.#endsAt - share * this.#validity).filter((at) => at > now);
    if (isFirst) this.#handler.ready();
    this.#report();
    this.#timer.clear();
    this.#timer.set();
  }

  #fail(error: unknown): void {
    if (this.#side === undefined) return this.#handler.failed(error);
    const { code = 'ERR_TLS_OPTIONS' } = (error ?? {}) as NodeJS.ErrnoException;
    const what = `a renewal of its certificate is not accepted, and the one before stays: ${messageOf(error)}`;
    this.#emit({ type: 'failed', error: new TlsError(what, { code, cause: error }) });
  }

  #report(): void {
    const validFor = Math.round(this.#endsAt - this.#now);
    const isExpiring = validFor <= Math.max(...WARNINGS) * this.#validity;
    this.#emit({ type: 'certificate', certificates: this.#certificates, validFor, isExpiring });
  }

  #emit(event: CertificateEvent | FailedEvent): void {
    if (this.#early) this.#early.push(event);
    else this.#handler.emit(event);
  }

  get #now(): number {
    return this.#epoch + this.#clock.now();
  }

  /** The certificate that ends first. */
  get #first(): CertificateEvent['certificates'][number] | undefined {
    return this.#certificates.reduce(
      (first, one) => (one.validTo < first.validTo ? one : first),
      this.#certificates[0] as never,
    );
  }

  get #endsAt(): number {
    return this.#first?.validTo ?? Number.POSITIVE_INFINITY;
  }

  get #validity(): number {
    return this.#first ? this.#first.validTo - this.#first.validFrom : 0;
  }

  // Deadlines (DeadlineOwner) ------------------------------------------------------------------------------------------

  due(): number {
    return (this.#warnings[0] ?? Number.POSITIVE_INFINITY) - this.#epoch;
  }

  expire(): void {
    this.#warnings.shift();
    this.#report();
    this.#timer.set();
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : describe(error));
