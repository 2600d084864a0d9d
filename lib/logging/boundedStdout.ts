import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { isatty } from 'node:tty';
import { Outlet } from './outlet.ts';

/** Bytes that may wait for the reader of standard output. */
const LIMIT = 1024 * 1024;
/** How long the exit of the process waits for a reader that takes nothing, and for one that is slow, in milliseconds. */
const PATIENCE = { stuck: 1000, slow: 5000 };
const STDOUT = 1;

let descriptor: number | undefined;

/**
 * Standard output for logs, as a destination of pino. It never blocks, and never keeps the process alive.
 *
 * While the reader has room, a line is written at once, so nothing is lost when the process exits. While the reader takes
 * nothing, up to a megabyte of lines waits. Then the oldest lines are dropped, and a later line reports how many
 * (`"type":"dropped"`). When the process exits, the waiting lines are written as far as the reader takes them: a reader that
 * takes nothing delays the exit by one second, and a slow one by five seconds at most. When the reader has closed its end,
 * lines are dropped silently.
 *
 * @example Accepts and refusals in the log, too.
 * ```ts
 * const logger = pino({ level: 'debug' }, boundedStdout);
 *
 * serve({ port: 7000 }, (client) => client.pipe(lines(), map(encodeLine))).subscribe(logTo(logger));
 * ```
 */
export const boundedStdout: {
  /** Writes `line`, which includes its newline. */
  write(line: string): void;
} = { write: (line) => outlet.write(line) };

const outlet = new Outlet(
  {
    write: (bytes) => {
      descriptor ??= open();
      try {
        return writeSync(descriptor, bytes);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
        throw error;
      }
    },
    later: (work, ms) => void setTimeout(work, ms).unref(),
    now: () => performance.now(),
    note,
    waiting: (waits) => (waits ? process.on('exit', finish) : process.off('exit', finish)),
  },
  LIMIT,
);

/**
 * A descriptor of standard output that does not block. A pipe or a terminal is opened again, because `O_NONBLOCK` belongs to
 * the open file description, which other processes share. If that is not possible, Node sets the flag of a pipe or a socket
 * when it makes `process.stdout`.
 */
function open(): number {
  if (fstatSync(STDOUT).isFile()) return STDOUT;
  try {
    return openSync(`/proc/self/fd/${STDOUT}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    void process.stdout;
    return STDOUT;
  }
}

function note(dropped: number): string {
  const msg = `${dropped} log lines were dropped: nothing read the standard output`;
  if (isatty(STDOUT)) return `${msg}\n`;
  const base = { level: 40, time: Date.now(), pid: process.pid, hostname: hostname() };
  return `${JSON.stringify({ ...base, type: 'dropped', dropped, msg })}\n`;
}

/** The last attempts to write. They block, because no event loop runs when a process exits. */
function finish(): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const start = performance.now();
  let moved = start;
  for (let now = start; now - moved < PATIENCE.stuck && now - start < PATIENCE.slow; now = performance.now()) {
    if (outlet.flush() > 0) moved = now;
    if (!outlet.waits) return;
    Atomics.wait(cell, 0, 0, 5);
  }
}
