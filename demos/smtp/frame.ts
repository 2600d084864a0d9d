/** Why a command line is refused. The connection goes on behind it. */
export type LineFault = 'too-long' | 'bare-lf' | 'bytes';

/** Why the content of a message is refused. It is read to its end all the same. */
export type ContentFault = 'bare-lf' | 'bare-cr' | 'long-line' | 'size';

/** A command, without its line end. With a fault there is no line. */
export interface CommandFrame {
  readonly type: 'command';
  readonly line: string;
  readonly fault: LineFault | undefined;
}

/** A piece of the content of a message, without the dots that the client has added. */
export interface BlockFrame {
  readonly type: 'block';
  /** 0, 1, 2 … within a message: the session notices when one is missing. */
  readonly index: number;
  readonly bytes: Buffer;
  /** Whether the line with the dot followed. */
  readonly isLast: boolean;
  /** Known when the content has ended; from the fault on, there are no more bytes. */
  readonly fault: ContentFault | undefined;
}

/** What the decoder emits. */
export type Frame = CommandFrame | BlockFrame;
