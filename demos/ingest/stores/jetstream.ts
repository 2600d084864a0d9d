import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamClient,
  jetstream,
  jetstreamManager,
  StorageType,
} from '@nats-io/jetstream';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';
import type { Store } from './store.ts';

/** How long the server may take to acknowledge a message, in milliseconds. */
const TIMEOUT = 2000;
/** How long JetStream knows the ids of messages, in milliseconds. */
const REMEMBERED = 120_000;
/** JetStream's code for: this subject has its one message already. */
const SUBJECT_TAKEN = 10_077;

/**
 * A store in NATS: a JetStream stream of readings, and one of windows.
 *
 * Each reading has a subject of its own, `readings.<device>.<seq>`, and the stream keeps the first message of a subject and
 * refuses any other. Message ids alone would do that for two minutes only, and a device may be away for days. They are
 * there too: for those two minutes a duplicate is an answer, and not an error.
 */
export class JetStreamStore implements Store {
  readonly name: string;
  readonly #connection: NatsConnection;
  readonly #publisher: JetStreamClient;
  #connected = true;
  /** What became of readings whose batch failed for others, and `undefined` where that is unknown. */
  readonly #tried = new WeakMap<Reading, boolean | undefined>();

  /**
   * Connects, and makes the streams where they are missing.
   *
   * @param server As in `nats://127.0.0.1:4222`.
   * @returns A promise of the store. It rejects if there is no such server, if it has no JetStream, and if it has streams of
   * these names that differ.
   */
  static async open(server: string): Promise<JetStreamStore> {
    const connection = await connect({ servers: server, maxReconnectAttempts: -1, reconnectTimeWait: 250 });
    try {
      const manager = await jetstreamManager(connection);
      const common = { storage: StorageType.File, duplicate_window: nanos(REMEMBERED) };
      await manager.streams.add({
        ...common,
        name: 'READINGS',
        subjects: ['readings.*.*'],
        max_msgs_per_subject: 1,
        discard: DiscardPolicy.New,
        discard_new_per_subject: true,
      });
      await manager.streams.add({ ...common, name: 'WINDOWS', subjects: ['windows.*'] });
      return new JetStreamStore(server, connection);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  private constructor(server: string, connection: NatsConnection) {
    this.name = `JetStream, ${server}`;
    this.#connection = connection;
    this.#publisher = jetstream(connection, { timeout: TIMEOUT });
    void this.#watch();
  }

  async readings(batch: readonly Reading[]): Promise<readonly boolean[]> {
    return this.#all(batch.map((reading) => this.#reading(reading)));
  }

  async windows(batch: readonly Window[]): Promise<readonly boolean[]> {
    return this.#all(batch.map((window) => this.#publish(`windows.${window.device}`, window)));
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #reading(reading: Reading): Promise<boolean> {
    const { device, seq } = reading;
    const known = this.#tried.get(reading);
    if (known !== undefined) return known;
    const again = this.#tried.has(reading);
    this.#tried.set(reading, undefined);
    const stored = await this.#publish(`readings.${device}.${seq}`, reading, `${device}/${seq}`);
    // An attempt that was not acknowledged may have arrived all the same, and then it is that which made this a duplicate.
    const isNew = stored || again;
    this.#tried.set(reading, isNew);
    return isNew;
  }

  /** @returns Whether it is new. */
  async #publish(subject: string, value: object, id?: string): Promise<boolean> {
    // While it is away the client would keep every attempt, and send them all when it is back.
    if (!this.#connected) throw new Error('NATS is away');
    try {
      const options = id === undefined ? {} : { msgID: id };
      return !(await this.#publisher.publish(subject, JSON.stringify(value), options)).duplicate;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === SUBJECT_TAKEN) return false;
      throw error;
    }
  }

  /** Waits for all of them, also if one fails: what the next attempt does depends on what became of each. */
  async #all(publishing: Promise<boolean>[]): Promise<readonly boolean[]> {
    const outcomes = await Promise.allSettled(publishing);
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === 'disconnect') this.#connected = false;
      if (type === 'reconnect') this.#connected = true;
    }
  }
}
