import { createLogUpdate } from 'log-update';

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

/** Where a status line is drawn: standard output, or a stream that behaves like one. */
export type Screen = NodeJS.WritableStream & { isTTY?: boolean };

/**
 * Makes the status line of a terminal. There is one of them a terminal: a logger that prints while it is shown has to
 * know it, or both are garbled (`logger({ status })`).
 *
 * The cursor stays visible: hiding it means listening to signals to bring it back, and those are the demo's own.
 *
 * Whoever reads what is printed may go before the demo does: `| head` does, and `| jq` at a Ctrl-C, which it gets as
 * well. That is no reason to break off.
 */
export function statusLine(screen: Screen = process.stdout): StatusLine {
  screen.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  if (screen.isTTY !== true) {
    return { live: false, show() {}, print: (text) => void screen.write(text), clear() {} };
  }
  const region = createLogUpdate(screen, { showCursor: true });
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
