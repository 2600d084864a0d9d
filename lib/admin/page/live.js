import { forgetToken, request } from './api.js';

/** Server-sent events, read with `fetch`, because an `EventSource` cannot send the token. */

/**
 * Why there are no figures:
 *
 * - `token`: there is no token, or it is not the one of the server.
 * - `viewers`: as many pages are open as may be.
 * - `lost`: the server is not reachable.
 * - `ended`: the server has ended, as its last event says.
 *
 * @typedef {'token' | 'viewers' | 'lost' | 'ended'} Why
 */

/**
 * @typedef {object} Follower
 * @property {(start: any) => void} start
 * @property {(tick: any) => void} tick
 * @property {(why: Why) => void} over
 * @property {(seconds: number) => void} silent Called each second in which the server sends nothing although it should.
 */

/** Milliseconds between tries to connect again. After the end it is a new server that is waited for. */
const AGAIN = { lost: 1500, viewers: 5000, ended: 3000 };
/** Milliseconds without a tick after which figures are stale. There is one each second. */
const STALE = 5000;
/** Milliseconds in which a request for a stream is answered. */
const ANSWER = 2000;
/** Milliseconds that a stream may be silent, before another one is tried. */
const DEAD = 10_000;

export class Live {
  /** @type {Follower} */
  #to;
  #query = '';
  #isEnded = false;
  /** When the stream was asked for, or last had something; and when there was the last tick. */
  #heardAt = 0;
  #tickedAt = 0;
  #isSilent = false;
  /** @type {AbortController | undefined} */
  #current;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #later;

  /** @param {Follower} to */
  constructor(to) {
    this.#to = to;
    setInterval(() => this.#watch(), 1000);
  }

  /** Begins, or begins again with another query. @param {Record<string, string>} query */
  follow(query) {
    this.#query = String(new URLSearchParams(query));
    if (this.#current === undefined) this.#tickedAt = performance.now();
    this.#connect();
  }

  /** Ends until the next {@link follow}. */
  stop() {
    this.#current?.abort();
    this.#current = undefined;
    clearTimeout(this.#later);
  }

  #connect() {
    this.stop();
    const current = new AbortController();
    this.#current = current;
    this.#heardAt = performance.now();
    this.#read(current.signal).then(
      (why) => current.signal.aborted || this.#over(why),
      () => current.signal.aborted || this.#over('lost'),
    );
  }

  /** @param {Why} reason */
  #over(reason) {
    const why = reason === 'lost' && this.#isEnded ? 'ended' : reason;
    if (why === 'token') this.stop();
    else this.#later = setTimeout(() => this.#connect(), AGAIN[why]);
    this.#heardAt = Number.POSITIVE_INFINITY;
    this.#isSilent = false;
    this.#to.over(why);
  }

  /** A server that is blocked closes nothing: the stream is open, and silent. */
  #watch() {
    const now = performance.now();
    if (this.#current === undefined || this.#heardAt > now) return;
    const silence = now - this.#heardAt;
    const age = now - this.#tickedAt;
    this.#isSilent ||= age >= STALE && silence >= ANSWER && !this.#isEnded;
    if (this.#isSilent) this.#to.silent(Math.floor(age / 1000));
    if (silence >= DEAD) this.#connect();
  }

  /** @param {AbortSignal} signal @returns {Promise<Why>} */
  async #read(signal) {
    const response = await request(`/events?${this.#query}`, { signal });
    if (response.status === 401) {
      forgetToken();
      return 'token';
    }
    if (response.status === 503) return 'viewers';
    if (!response.ok || response.body === null) throw new Error(response.statusText);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return 'lost';
      this.#heardAt = performance.now();
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
    this.#tickedAt = performance.now();
    this.#isSilent = false;
    this.#to.tick(value);
  }
}
