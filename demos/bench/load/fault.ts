/** The first fault of a load, at any time. The measurement that runs then, or the next one, fails with it. */
export class Fault {
  /** Rejected on the first fault. */
  readonly promise: Promise<never>;
  #reject: (error: unknown) => void = () => undefined;

  constructor() {
    this.promise = new Promise((_, reject) => {
      this.#reject = reject;
    });
    // Handled here, because a fault between two measurements has no other handler yet.
    this.promise.catch(() => undefined);
  }

  readonly report = (error: unknown): void => this.#reject(error);
}
