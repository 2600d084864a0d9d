/** Milliseconds that a spec waits for a condition before it fails with a description of it. */
export const PATIENCE = Number(process.env.PATIENCE ?? 150_000);

/** An object whose changes a spec waits for: the condition is evaluated again at each change, and nothing sleeps. */
export abstract class Waitable {
  readonly #checks = new Set<() => void>();

  protected changed(): void {
    for (const check of [...this.#checks]) check();
  }

  /**
   * Waits until a condition is true.
   *
   * @param what The condition. It is evaluated now, and at every change.
   * @param description A description of the condition, for the error.
   */
  until(what: (self: this) => boolean, description = String(what), within = PATIENCE): Promise<this> {
    if (what(this)) return Promise.resolve(this);
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        this.#checks.delete(check);
      };
      const check = () => {
        if (!what(this)) return;
        stop();
        resolve(this);
      };
      const timer = setTimeout(() => {
        stop();
        reject(new Error(`Not true within ${within} ms: ${description}`));
      }, within);
      this.#checks.add(check);
    });
  }
}
