import { AsyncResource } from 'node:async_hooks';
import type { SchedulerLike } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type Checks, check, checkArgument, flag, fraction, object, schedulerLike, text, whole } from '../options.ts';
import type { Address, DialHandler, PortHandler, Transport } from '../transport/transport.ts';
import { LateReplies } from './lateReplies.ts';
import { link } from './link.ts';
import { type ClientEnd, MemoryClient, type MemoryClientOptions } from './memoryClient.ts';
import { HERE, MemoryPort } from './memoryPort.ts';
import { MemorySocket } from './memorySocket.ts';
import { type Defer, MicrotaskQueue } from './microtaskQueue.ts';

const clientChecks: Checks = {
  window: whole(0),
  step: fraction,
  address: object({ address: text, port: whole(0, 65_535) }),
  allowHalfOpen: flag,
};

/** The ports of clients are 49152 to 65535, which IANA leaves to clients. */
const FIRST_PORT = 49_152;
const PORTS = 65_536 - FIRST_PORT;

/**
 * A network in memory: a {@link Transport} for `listen`, `serve` and `connect`, and clients that a test controls.
 *
 * What one side does takes effect on the other side in a later task, never within the call. So on virtual time a whole server
 * runs in no time, and in the same way each time.
 *
 * A `TestScheduler` runs everything in one call, in which no promise is resolved. So a handler or a request that returns a
 * promise makes its run fail. Test what awaits a promise without a scheduler, on the fake timers of the test runner.
 *
 * @example A client that is silent for a minute, in no time.
 * ```ts
 * const clock = new TestScheduler(assert.deepEqual);
 *
 * clock.run(({ flush }) => {
 *   const network = new MemoryNetwork(clock);
 *   const options = { transport: network.transport, scheduler: clock, idle: 60_000 };
 *   serve({ port: 0 }, (client) => client.pipe(lines(), map(encodeLine)), options)
 *     .subscribe((event) => event.type === 'closed' && console.log(`${event.deadline} after ${clock.now()} ms`));
 *
 *   network.connect().write('hello\n');
 *   flush();
 * });
 * // → idle after 60000 ms
 * ```
 */
export class MemoryNetwork {
  readonly #defer: Defer;
  readonly #lateReplies: LateReplies | undefined;
  #port: MemoryPort | undefined;
  #clients = 0;
  readonly #freed = (socket: object): void => void this.sockets.delete(socket);
  /** The sockets that are not free yet: those of the server, and those that were connected by the transport. */
  readonly sockets = new Set<object>();
  /** Whether a connect by the transport is answered. If not, it waits, as for a machine that does not respond. */
  answers = true;
  /** Whether a port can pause. Not every transport can. */
  canPause = true;

  /**
   * @param scheduler Runs the tasks of the network. @default microtasks, which leave time to the event loop
   * @throws TypeError for what is not a scheduler.
   */
  constructor(scheduler?: SchedulerLike) {
    if (scheduler !== undefined) checkArgument('make a network', 'scheduler', scheduler, schedulerLike);
    const tasks = new MicrotaskQueue();
    this.#defer = scheduler ? (work) => void scheduler.schedule(work, 0) : (work) => tasks.push(work);
    this.#lateReplies = scheduler instanceof TestScheduler ? new LateReplies(scheduler) : undefined;
  }

  /** The `transport` option for `listen`, `serve` and `connect`. It has one port at a time. */
  readonly transport: Transport = {
    listen: (_where, _options, handler) => this.#listen(handler),
    connect: (_where, _options, handler) => this.#dial(handler),
  };

  /** Whether the port is open. */
  get listening(): boolean {
    return this.#port?.isOpen ?? false;
  }

  /**
   * Connects a client. The server accepts it in a later task, or after a pause of its port. If no server listens by then, the
   * client is reset.
   *
   * @param options See {@link MemoryClientOptions}.
   * @returns The client, which can write at once.
   * @throws TypeError for an option that does not exist or is of the wrong type.
   * @throws RangeError for a number out of its range.
   */
  connect(options: MemoryClientOptions = {}): MemoryClient {
    const checked = check('connect a client', options, clientChecks);
    const { window = 64 * 1024, step = 0, address = this.#nextAddress(), allowHalfOpen = false } = checked;
    const settings = { defer: this.#defer, window, step, allowHalfOpen };
    return new MemoryClient((end) => this.#accept(end, address), settings);
  }

  /** Makes the server's end of the connection of a client. */
  #accept(end: ClientEnd, peer: Address): MemorySocket {
    const late = this.#lateReplies;
    const sends = late && (() => late.check(peer, end.fail));
    const socket = new MemorySocket(end, { peer, defer: this.#defer, freed: this.#freed, sends });
    const refused = () => end.rst();
    this.#defer(() => {
      if (this.#port) this.#port.arrive({ socket, accepted: () => this.sockets.add(socket), refused });
      else refused();
    });
    return socket;
  }

  #listen(handler: PortHandler): MemoryPort {
    const port = new MemoryPort(handler, { defer: this.#defer, canPause: () => this.canPause });
    if (this.#port?.isOpen) {
      const error = new Error('listen EADDRINUSE: address already in use');
      this.#defer(() => handler.error(Object.assign(error, { code: 'EADDRINUSE' })));
      return port;
    }
    this.#port = port;
    this.#defer(() => port.listening());
    return port;
  }

  #dial(handler: DialHandler): { cancel(): void } {
    let isCancelled = false;
    const context = new AsyncResource('SluiceMemoryConnect');
    this.#defer(() => {
      if (isCancelled || !this.answers) return;
      const port = this.#port;
      context.runInAsyncScope(() => {
        if (port?.isOpen) handler.connected(this.#join(port));
        else handler.failed(Object.assign(new Error('connect ECONNREFUSED memory'), { code: 'ECONNREFUSED' }));
      });
    });
    return {
      cancel: () => {
        isCancelled = true;
      },
    };
  }

  /** Makes a connection with a socket at both ends. The port accepts its end if it is still open then. @returns The other end. */
  #join(port: MemoryPort): MemorySocket {
    const [toServer, toClient] = link(this.#defer);
    const address = this.#nextAddress();
    const settings = { defer: this.#defer, freed: this.#freed };
    const client = new MemorySocket(toServer, { ...settings, local: address, peer: HERE });
    const socket = new MemorySocket(toClient, { ...settings, peer: address });
    toServer.receiver = socket;
    toClient.receiver = client;
    this.sockets.add(client);
    const refused = () => client.arriveRst();
    this.#defer(() => port.arrive({ socket, accepted: () => this.sockets.add(socket), refused }));
    return client;
  }

  #nextAddress(): Address {
    return { address: '127.0.0.1', port: FIRST_PORT + (this.#clients++ % PORTS) };
  }
}
