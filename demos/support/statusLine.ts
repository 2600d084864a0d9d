import { createLogUpdate } from 'log-update';
import { boundedStdout } from '../../lib/index.ts';

/** The status at the bottom of a terminal while a demo runs. Everything else is printed above it. */
export interface StatusLine {
  /** Whether there is a terminal. Without one, only {@link print} has an effect. */
  readonly live: boolean;
  /** Replaces the status by this text, of one or more lines. */
  show(text: string): void;
  /** Prints text that stays, above the status. The text ends with its own newline. */
  print(text: string): void;
  /** Removes the status. */
  clear(): void;
}

/** The target of a status line: standard output, or a stream that behaves like it. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
}

/** Standard output. A write never waits for the reader, because `| head` exits, and `| less` and Ctrl-S stop reading. */
const stdout: Screen = {
  get isTTY() {
    return process.stdout.isTTY;
  },
  get columns() {
    return process.stdout.columns;
  },
  get rows() {
    return process.stdout.rows;
  },
  write: (text) => boundedStdout.write(text),
};

/**
 * Makes the status line of a terminal. A terminal has one: a logger that prints while the status is shown must print through
 * it (`logger({ status })`), otherwise both are garbled.
 *
 * The cursor stays visible: to hide it, the status line would have to handle signals to show it again, but the demo handles
 * its own signals.
 */
export function statusLine(screen: Screen = stdout): StatusLine {
  if (screen.isTTY !== true) {
    return { live: false, show() {}, print: (text) => void screen.write(text), clear() {} };
  }
  // Safe: log-update uses only the members of a stream that Screen has.
  const region = createLogUpdate(screen as unknown as NodeJS.WritableStream, { showCursor: true });
  let status = '';
  let returns: NodeJS.Immediate | undefined;

  // After a burst of log lines the status is drawn once, and not once for each line.
  const settle = (): void => {
    clearImmediate(returns);
    returns = undefined;
    if (status !== '') region(status);
  };
  return {
    live: true,
    show(text) {
      status = text;
      settle();
    },
    print(text) {
      if (returns === undefined && status !== '') {
        region.clear();
        returns = setImmediate(settle);
      }
      screen.write(text);
    },
    clear() {
      status = '';
      if (returns === undefined) region.clear();
      settle();
    },
  };
}
