import type { Security } from '../../lib/index.ts';
import type { Dialog } from './decoder.ts';
import type { BlockFrame, Frame } from './frame.ts';
import { isAscii, isClientName, readPath } from './mailbox.ts';
import { Message } from './message.ts';
import { closing, LINE_FAULTS, OK, outOfOrder, READY_FOR_TLS, reply, syntax } from './replies.ts';
import type { Arriving, Store } from './store.ts';
import { type Introduction, trace, uniqueId } from './trace.ts';

/** The limits of a session. */
export interface SessionLimits {
  /** The most bytes of a message. */
  readonly maxSize: number;
  /** The most recipients of a message. */
  readonly maxRecipients: number;
  /** Refused commands after which the connection is closed. */
  readonly maxErrors: number;
}

/** What a session is told, and may ask for. */
export interface SessionOptions extends SessionLimits {
  /** The name of this server. */
  readonly host: string;
  readonly store: Store;
  /** The client's IP address, if it has one. */
  readonly peer: string | undefined;
  /** What TLS negotiated; `undefined` while the connection is in clear text. */
  readonly security: () => Security | undefined;
  /** Sends a reply in clear text and secures the connection; `undefined` if the server has no certificate. */
  readonly upgrade: ((ready: string) => Promise<void>) | undefined;
  /** Whether mail is accepted over TLS only. */
  readonly requireTls: boolean;
  /** Called with each message that is stored. */
  readonly received?: (message: Arriving, size: number) => void;
  /** Called when a message cannot be stored, or not in time. */
  readonly failed?: (error: unknown) => void;
}

interface Transaction {
  readonly from: string;
  readonly to: string[];
  readonly isUtf8: boolean;
}

/** `undefined` is no reply. */
type Answer = string | undefined | Promise<string | undefined>;

/** The commands that a server which requires TLS executes without it. (RFC 3207, 4) */
const IN_CLEAR_TEXT: readonly string[] = ['EHLO', 'HELO', 'NOOP', 'STARTTLS', 'QUIT'];

const KNOWN_PARAMETERS: readonly string[] = ['SIZE', 'BODY', 'SMTPUTF8'];

/** The dialog with one client: executes its commands, one after the other, and takes its messages. */
export class Session implements Dialog {
  readonly #options: SessionOptions;
  #introduction: Introduction | undefined;
  #transaction: Transaction | undefined;
  #message: Message | undefined;
  #errors = 0;
  readonly #commands: Readonly<Record<string, (argument: string) => Answer>> = {
    EHLO: (argument) => this.#introduce(argument, true),
    HELO: (argument) => this.#introduce(argument, false),
    MAIL: (argument) => this.#mail(argument),
    RCPT: (argument) => this.#recipient(argument),
    DATA: (argument) => this.#data(argument),
    RSET: (argument) => (argument === '' ? this.#reset() : syntax('RSET')),
    NOOP: () => OK,
    VRFY: (argument) => (argument === '' ? syntax('VRFY address') : reply(252, '2.5.0 Send a message to find out')),
    EXPN: () => reply(502, '5.5.1 There are no lists'),
    HELP: () => reply(214, '2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP STARTTLS QUIT'),
    STARTTLS: (argument) => this.#startTls(argument),
    QUIT: (argument) => (argument === '' ? reply(221, `2.0.0 ${this.#options.host} closes`) : syntax('QUIT')),
  };

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get isInMessage(): boolean {
    return this.#message !== undefined;
  }

  /** Executes a command, or takes a block. It must be called within the emission of the frame: the decoder asks what is next. */
  execute(frame: Frame): Answer {
    if (frame.type === 'block') return this.#take(frame);
    const answer = frame.fault === undefined ? this.#command(frame.line) : LINE_FAULTS[frame.fault];
    return typeof answer === 'string' ? this.#counted(answer) : answer;
  }

  /** The connection is over: removes the message that is in progress. */
  close(): void {
    this.#message?.abandon();
    this.#message = undefined;
  }

  #command(line: string): Answer {
    const [, verb = '', argument = ''] = /^(\S*)[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    const name = verb.toUpperCase();
    const { requireTls, security } = this.#options;
    const execute = Object.hasOwn(this.#commands, name) ? this.#commands[name] : undefined;
    if (execute === undefined) return reply(500, '5.5.2 There is no such command');
    if (requireTls && security() === undefined && !IN_CLEAR_TEXT.includes(name)) {
      return reply(530, '5.7.0 STARTTLS comes first');
    }
    return execute(argument);
  }

  /** A client that makes many errors does not speak SMTP, or searches for something. */
  #counted(answer: string): string {
    if (!answer.startsWith('5') || ++this.#errors < this.#options.maxErrors) return answer;
    return closing('4.7.0', this.#options.host, 'closes after too many errors');
  }

  #introduce(name: string, isExtended: boolean): string {
    const { host, maxSize, upgrade, security } = this.#options;
    if (!isClientName(name)) return syntax(`${isExtended ? 'EHLO' : 'HELO'} name`);
    this.#introduction = { name, isExtended };
    this.#transaction = undefined;
    if (!isExtended) return reply(250, host);
    const offersTls = upgrade !== undefined && security() === undefined;
    const extensions = ['PIPELINING', `SIZE ${maxSize}`, '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES'];
    return reply(250, host, ...(offersTls ? ['STARTTLS'] : []), ...extensions);
  }

  #mail(argument: string): string {
    if (this.#introduction === undefined) return outOfOrder('EHLO comes first');
    if (this.#transaction !== undefined) return outOfOrder('A transaction has begun');
    const path = readPath('FROM', argument);
    if (path === undefined) return syntax('MAIL FROM:<address> parameters');
    const { address: from, parameters } = path;
    if ([...parameters.keys()].some((name) => !KNOWN_PARAMETERS.includes(name))) {
      return reply(555, '5.5.4 There is no such parameter');
    }
    const { SIZE: size, BODY: body, SMTPUTF8: utf8 } = Object.fromEntries(parameters);
    if (size !== undefined && !/^\d{1,20}$/.test(size)) return syntax('SIZE=bytes');
    if (body !== undefined && !/^(7BIT|8BITMIME)$/i.test(body)) return syntax('BODY=7BIT or BODY=8BITMIME');
    if (utf8 !== undefined && utf8 !== '') return syntax('SMTPUTF8');
    if (Number(size ?? 0) > this.#options.maxSize) return reply(552, '5.3.4 The message is too large');
    const isUtf8 = utf8 !== undefined;
    if (!isUtf8 && !isAscii(from)) return reply(553, '5.6.7 This address needs SMTPUTF8');
    this.#transaction = { from, to: [], isUtf8 };
    return reply(250, '2.1.0 OK');
  }

  #recipient(argument: string): string {
    const { maxRecipients } = this.#options;
    if (this.#transaction === undefined) return outOfOrder('MAIL comes first');
    const path = readPath('TO', argument);
    if (path === undefined || path.address === '') return syntax('RCPT TO:<address>');
    if (path.parameters.size > 0) return reply(555, '5.5.4 There is no such parameter');
    const { to, isUtf8 } = this.#transaction;
    if (!isUtf8 && !isAscii(path.address)) return reply(553, '5.6.7 This address needs SMTPUTF8');
    if (to.length >= maxRecipients) return reply(452, `4.5.3 At most ${maxRecipients} recipients`);
    to.push(path.address);
    return reply(250, '2.1.5 OK');
  }

  #data(argument: string): Answer {
    const { host, peer, store, security, failed } = this.#options;
    if (argument !== '') return syntax('DATA');
    if (this.#transaction === undefined) return outOfOrder('MAIL comes first');
    if (this.#transaction.to.length === 0) return reply(554, '5.5.1 There are no valid recipients');
    const { from, to, isUtf8 } = this.#transaction;
    const id = uniqueId();
    const introduction = this.#introduction;
    const lines = trace({ from, to, id, isUtf8, host, peer, introduction, security: security() });
    // At once, and not when the store has answered: from here on a drain waits.
    const message = new Message(store, { from, to, id, trace: lines }, (error) => failed?.(error));
    this.#message = message;
    this.#transaction = undefined;
    return message.begin().then((answer) => {
      // Without 354 the client sends no content.
      if (!answer.startsWith('354') && this.#message === message) this.#message = undefined;
      return answer;
    });
  }

  #take(block: BlockFrame): Answer {
    const message = this.#message;
    if (message === undefined) return undefined;
    if (!block.isLast) return message.add(block).then(() => undefined);
    // At once: what follows is a command.
    this.#message = undefined;
    return message.finish(block).then((answer) => {
      if (answer.startsWith('250')) this.#options.received?.(message.arriving, message.size);
      return this.#counted(answer);
    });
  }

  #reset(): string {
    this.#transaction = undefined;
    return OK;
  }

  #startTls(argument: string): Answer {
    const { upgrade, security } = this.#options;
    if (argument !== '') return syntax('STARTTLS');
    if (security() !== undefined) return outOfOrder('The connection is secured already');
    if (upgrade === undefined) return reply(502, '5.5.1 TLS is not offered');
    // Whatever was said in clear text may have been changed on its way. (RFC 3207, 4.2)
    this.#introduction = undefined;
    this.#transaction = undefined;
    return upgrade(READY_FOR_TLS).then(() => undefined);
  }
}
