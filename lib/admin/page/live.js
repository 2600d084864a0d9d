import { forgetToken, request } from './api.js';

/** Server-sent events, read with `fetch`, because an `EventSource` cannot send the token. */

/**
 * @typedef {object} Follower
 * @property {(start: any) => void} start
 * @property {(tick: any) => void} tick
 * @property {(why: 'token' | 'lost' | 'ended') => void} over
 */

/** Milliseconds between tries to connect again. */
const AGAIN = 1500;

export class Live {
  /** @type {Follower} */
  #to;
  #query = '';
  #isEnded = false;
  /** @type {AbortController | undefined} */
  #current;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #later;

  /** @param {Follower} to */
  constructor(to) {
    this.#to = to;
  }

  /** Begins, or begins again with another query. @param {Record<string, string>} query */
  follow(query) {
    this.#query = String(new URLSearchParams(query));
    this.#current?.abort();
    clearTimeout(this.#later);
    this.#isEnded = false;
    const current = new AbortController();
    this.#current = current;
    this.#read(current.signal).then(
      () => current.signal.aborted || this.#lost(),
      () => current.signal.aborted || this.#lost(),
    );
  }

  #lost() {
    this.#to.over(this.#isEnded ? 'ended' : 'lost');
    if (!this.#isEnded)
      this.#later = setTimeout(() => this.follow(Object.fromEntries(new URLSearchParams(this.#query))), AGAIN);
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    const response = await request(`/events?${this.#query}`, { signal });
    if (response.status === 401) {
      forgetToken();
      this.#current?.abort();
      this.#to.over('token');
      return;
    }
    if (!response.ok || response.body === null) throw new Error(response.statusText);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const frames = (rest + value).split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) this.#receive(frame);
    }
  }

  /** @param {string} frame */
  #receive(frame) {
    const [, event, data] = /^event: (\w+)\ndata: (.*)$/s.exec(frame) ?? [];
    if (data === undefined) return;
    const value = JSON.parse(data);
    if (event === 'start') this.#to.start(value);
    if (event !== 'tick') return;
    this.#isEnded = value.phase === 'drained' || value.phase === 'ended';
    this.#to.tick(value);
  }
}
