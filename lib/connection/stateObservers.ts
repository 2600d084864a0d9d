import { Observable, type Subscriber } from 'rxjs';

/** The subscribers that wait for a change of a connection's state. */
export class StateObservers {
  readonly #waiting = new Set<() => void>();

  /**
   * An Observable of a state.
   *
   * @param emit Emits what there is to emit by now. It returns whether that was all.
   */
  observe<T>(emit: (to: Subscriber<T>) => boolean): Observable<T> {
    return new Observable<T>((to) => {
      const look = () => {
        const isOver = emit(to);
        if (isOver) to.complete();
        return isOver;
      };
      if (look()) return;
      this.#waiting.add(look);
      to.add(() => this.#waiting.delete(look));
    });
  }

  /** The state has changed. @param connection Calls a subscriber, and handles what it throws. */
  notify(connection: { call(work: () => void): void }): void {
    for (const look of this.#waiting) connection.call(look);
  }
}
