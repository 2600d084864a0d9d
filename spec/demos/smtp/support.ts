import { converse, type Mail, refusal } from '../../../demos/smtp/converse.ts';
import type { Arriving, Store } from '../../../demos/smtp/store.ts';
import type { Connection, ServeOptions } from '../../../lib/index.ts';
import type { MemoryClient, MemoryClientOptions } from '../../../lib/testing/index.ts';
import { TestServer } from '../../support/testServer.ts';

/** What a store is asked to do. */
type Step = 'begin' | 'write' | 'commit';

/** A store in memory, which a spec can make fail, or wait. */
export class MemoryStore implements Store {
  /** The messages that are stored, with their content. */
  readonly stored: (Arriving & { readonly content: string })[] = [];
  /** How many messages were begun, and how many of those were removed again. */
  begun = 0;
  removed = 0;
  readonly #errors = new Map<Step, Error>();
  readonly #holds = new Map<Step, Promise<void>>();

  /** From now on a step fails. */
  fail(step: Step, code?: string): void {
    this.#errors.set(step, Object.assign(new Error('no disk'), code === undefined ? {} : { code }));
  }

  /** From now on a step waits. @returns A function that lets it go on. */
  hold(step: Step): () => void {
    let release = () => {};
    this.#holds.set(
      step,
      new Promise((resolve) => {
        release = () => {
          this.#holds.delete(step);
          resolve();
        };
      }),
    );
    return release;
  }

  async begin(message: Arriving) {
    const pieces: Uint8Array[] = [];
    await this.#step('begin');
    this.begun++;
    return {
      write: async (bytes: Uint8Array) => {
        await this.#step('write');
        pieces.push(bytes);
      },
      commit: async () => {
        await this.#step('commit');
        this.stored.push({ ...message, content: Buffer.concat(pieces).toString('latin1') });
      },
      abort: async () => {
        this.removed++;
      },
    };
  }

  async #step(step: Step): Promise<void> {
    await this.#holds.get(step);
    const error = this.#errors.get(step);
    if (error !== undefined) throw error;
  }
}

/** What a server of mail does, unless a spec says otherwise. */
export const mailOptions = (store: Store): Mail => ({
  host: 'mx.test',
  store,
  maxSize: 1_000_000,
  maxRecipients: 3,
  maxErrors: 5,
  requireTls: false,
  startTls: false,
  isStopping: () => false,
});

/** A server of mail in memory, on virtual time. */
export class MailServer {
  readonly store = new MemoryStore();
  /** The connections in the order of their accept. */
  readonly connections: Connection[] = [];
  readonly server: TestServer;
  #isStopping = false;

  private constructor(some: Partial<Mail>, options: ServeOptions) {
    const mail = converse({ ...mailOptions(this.store), isStopping: () => this.#isStopping, ...some });
    const handler = (connection: Connection) => {
      this.connections.push(connection);
      return mail(connection);
    };
    this.server = new TestServer(handler, { farewell: (reason) => refusal('mx.test', reason), ...options });
    this.server.shutdown.subscribe(() => {
      this.#isStopping = true;
    });
  }

  static async open(some: Partial<Mail> = {}, options: ServeOptions = {}): Promise<MailServer> {
    const mail = new MailServer(some, options);
    await mail.server.clock.settle();
    return mail;
  }

  async connect(options?: MemoryClientOptions): Promise<MailClient> {
    return new MailClient(await this.server.connect(options), this.server);
  }
}

/** A client of it. */
export class MailClient {
  readonly client: MemoryClient;
  readonly #server: TestServer;
  #read = 0;

  constructor(client: MemoryClient, server: TestServer) {
    this.client = client;
    this.#server = server;
  }

  /** Sends lines, each with its CR LF. @returns The replies to them, without line ends. */
  say(...lines: string[]): Promise<string[]> {
    return this.send(lines.map((line) => `${line}\r\n`).join(''));
  }

  /** Sends bytes as they are. @returns The replies to them. */
  async send(data: string | Uint8Array): Promise<string[]> {
    this.client.write(data);
    await this.#server.clock.settle();
    return this.replies();
  }

  /** The lines received since the last call. */
  replies(): string[] {
    const { text } = this.client;
    const lines = text.slice(this.#read).split('\r\n').slice(0, -1);
    this.#read = text.length;
    return lines;
  }

  /** Introduces itself and begins a message. @returns The reply to DATA. */
  async data(): Promise<string | undefined> {
    await this.say('EHLO me.test', 'MAIL FROM:<a@me.test>', 'RCPT TO:<b@mx.test>');
    return (await this.say('DATA'))[0];
  }
}
