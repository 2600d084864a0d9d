import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import type { Reading } from '../reading.ts';
import type { Window } from '../windows.ts';
import type { Store } from './store.ts';

/** Time that the server has to acknowledge a message, in milliseconds. */
const TIMEOUT = 2000;
/** Time for which JetStream keeps the ids of messages, in milliseconds. */
const REMEMBERED = 120_000;
/** JetStream's error code for a subject that already has its one message. */
const SUBJECT_TAKEN = 10_077;
/** JetStream's error code for a stream that does not exist. */
const NO_STREAM = 10_059;

/**
 * A store in NATS: a JetStream stream of readings, and one of windows.
 *
 * Each reading has a subject of its own, `readings.<device>.<seq>`. The stream keeps the first message of a subject and rejects
 * any other. Message ids alone detect a duplicate for two minutes only, but a device may be offline for days. They are used
 * as well, because within these two minutes JetStream answers a duplicate with an acknowledgement instead of an error.
 */
export class JetStreamStore implements Store {
  readonly name: string;
  readonly #connection: NatsConnection;
  readonly #publisher: JetStreamClient;
  #connected = true;
  /**
   * For readings whose batch is repeated because of another reading: whether they were new, or `undefined` if that is unknown.
   */
  readonly #tried = new WeakMap<Reading, boolean | undefined>();

  /**
   * Connects, and creates the streams that do not exist.
   *
   * @param server A URL such as `nats://127.0.0.1:4222`.
   * @returns A promise of the store. It is rejected if the server cannot be reached, has no JetStream, or has a stream READINGS
   * that would keep a reading twice. All other settings of existing streams are left unchanged.
   */
  static async open(server: string): Promise<JetStreamStore> {
    const connection = await connect({ servers: server, maxReconnectAttempts: -1, reconnectTimeWait: 250 });
    try {
      const manager = await jetstreamManager(connection);
      const common = { storage: StorageType.File, duplicate_window: nanos(REMEMBERED) };
      const readings = await ensure(manager, {
        ...common,
        name: 'READINGS',
        subjects: ['readings.*.*'],
        max_msgs_per_subject: 1,
        discard: DiscardPolicy.New,
        discard_new_per_subject: true,
      });
      if (readings.max_msgs_per_subject !== 1 || !readings.discard_new_per_subject)
        throw new Error('its stream READINGS does not keep the first message of each subject, and that one only');
      await ensure(manager, { ...common, name: 'WINDOWS', subjects: ['windows.*'] });
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
    // An earlier attempt may have arrived without an acknowledgement. Then this attempt is a duplicate of that one.
    const isNew = stored || again;
    this.#tried.set(reading, isNew);
    return isNew;
  }

  /** @returns Whether the message is new. */
  async #publish(subject: string, value: object, id?: string): Promise<boolean> {
    // Rejected here, because the client would buffer every attempt while disconnected, and send them all later.
    if (!this.#connected) throw new Error('NATS is disconnected');
    try {
      const options = id === undefined ? {} : { msgID: id };
      return !(await this.#publisher.publish(subject, JSON.stringify(value), options)).duplicate;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === SUBJECT_TAKEN) return false;
      throw error;
    }
  }

  /** Waits for all results, even if one is an error, because the next attempt depends on each of them. */
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

/** Creates a stream if it does not exist. @returns Its settings. */
async function ensure(
  manager: JetStreamManager,
  wanted: Partial<StreamConfig> & { name: string },
): Promise<StreamConfig> {
  try {
    return (await manager.streams.info(wanted.name)).config;
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== NO_STREAM) throw error;
  }
  return (await manager.streams.add(wanted)).config;
}
