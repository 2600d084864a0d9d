import { createLogUpdate } from 'log-update';
import { boundedStdout } from '../../lib/index.ts';

/** What is shown at the bottom of a terminal while a demo runs. Everything else is printed above it. */
export interface StatusLine {
  /** Whether there is a terminal. Where there is none, only {@link print} does anything. */
  readonly live: boolean;
  /** Shows this text, of one or more lines, in place of the last. */
  show(text: string): void;
  /** Prints text that stays, above the status. It ends with a newline of its own. */
  print(text: string): void;
  /** Takes the status away. */
  clear(): void;
}

/** Where a status line is drawn: standard output, or what behaves like it. */
export interface Screen {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
}

/** Standard output as it is now. It never waits for its reader: `| head` ends, `| less` stops reading, and so does Ctrl-S. */
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
 * Makes the status line of a terminal. There is one of them a terminal: a logger that prints while it is shown has to
 * know it, or both are garbled (`logger({ status })`).
 *
 * The cursor stays visible: hiding it means listening to signals to bring it back, and those are the demo's own.
 */
export function statusLine(screen: Screen = stdout): StatusLine {
  if (screen.isTTY !== true) {
    return { live: false, show() {}, print: (text) => void screen.write(text), clear() {} };
  }
  // It asks for no more of a stream than a screen has.
  const region = createLogUpdate(screen as unknown as NodeJS.WritableStream, { showCursor: true });
  let status = '';
  let returns: NodeJS.Immediate | undefined;

  // The status comes back once after a burst of log lines, and is not drawn again for each of them.
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
