import { EMPTY, filter, map, type Observable, observeOn, of, queueScheduler, Subject } from 'rxjs';
import type { Message } from './message.ts';

/** What chat servers hear each other by. What a server sends comes to all others, in its order, or is lost. */
export interface Bus {
  /** What other servers say: hot. */
  readonly heard: Observable<Message>;
  /** Whether other servers can be reached: emits at once, and whenever it changes. */
  readonly connected: Observable<boolean>;
  /** What goes wrong meanwhile and ends nothing. */
  readonly faults: Observable<unknown>;
  /** Tells all others. What is sent while they cannot be reached is lost. */
  send(message: Message): void;
  /** Lets go of the bus once what was sent has left. */
  close(): Promise<void>;
}

/** The bus of one process: as many servers as call the function it returns, usually one. */
export function hub(): () => Bus {
  const all = new Subject<{ from: object; message: Message }>();
  return () => {
    const me = {};
    return {
      heard: all.pipe(
        filter(({ from }) => from !== me),
        map(({ message }) => message),
        // An answer is heard after what it answers to, by all.
        observeOn(queueScheduler),
      ),
      connected: of(true),
      faults: EMPTY,
      send: (message) => all.next({ from: me, message }),
      close: async () => {},
    };
  };
}
