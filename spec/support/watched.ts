/** How long a spec waits for what must happen, in milliseconds, before it says what did not. */
export const PATIENCE = 150_000;

/** Something that changes, and that a spec waits for: it looks again at each change, and never sleeps. */
export abstract class Watched {
  readonly #looks = new Set<() => void>();

  protected changed(): void {
    for (const look of [...this.#looks]) look();
  }

  /**
   * Waits until something is true.
   *
   * @param what Looked at now, and at every change.
   * @param says What is waited for, for the error.
   */
  until(what: (self: this) => boolean, says = String(what), within = PATIENCE): Promise<this> {
    if (what(this)) return Promise.resolve(this);
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        this.#looks.delete(look);
      };
      const look = () => {
        if (!what(this)) return;
        stop();
        resolve(this);
      };
      const timer = setTimeout(() => {
        stop();
        reject(new Error(`In ${within} ms it has not come to: ${says}`));
      }, within);
      this.#looks.add(look);
    });
  }
}
