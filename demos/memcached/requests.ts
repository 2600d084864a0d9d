import type { MetaFlags } from './meta-flags.ts';
import type { Mode } from './store.ts';

/** A command without data: the words of its line. */
export interface CommandRequest {
  readonly type: 'command';
  readonly words: readonly string[];
}

/** `set`, `add`, `replace`, `append`, `prepend` or `cas`, with its data. */
export interface StorageRequest {
  readonly type: 'storage';
  readonly mode: Mode;
  readonly key: string;
  readonly flags: number;
  readonly exptime: number;
  readonly cas: number;
  readonly noreply: boolean;
  data: Uint8Array;
}

/** `ms`, with its data. */
export interface MetaSetRequest {
  readonly type: 'metaSet';
  readonly mode: Mode;
  readonly meta: MetaFlags;
  data: Uint8Array;
}

/** A request that is answered and not executed. */
export interface RefusedRequest {
  readonly type: 'refused';
  /** The reply, without its line end. Empty for none. */
  readonly reply: string;
  /** Whether it was refused because it is too large. */
  readonly tooLarge: boolean;
  /** The key whose old value is removed, because it must not outlive the refusal. */
  readonly drop: string | undefined;
}

/** A request to close the connection. */
export interface EndRequest {
  readonly type: 'end';
}

/** A request of the binary protocol, complete or refused. */
export interface BinaryRequest {
  readonly type: 'binary';
  /** The command, quiet forms included. */
  readonly opcode: number;
  /** A number that the reply repeats. */
  readonly opaque: number;
  readonly cas: number;
  /** The part before the key: flags, expiry, numbers. It never shares memory with the input. */
  readonly extras: Uint8Array;
  readonly key: string;
  /** It never shares memory with the input. */
  readonly value: Uint8Array;
  /** The status with which the request is refused and not executed; 0 for a request to execute. */
  readonly status: number;
  /** Whether the connection ends after the reply. */
  readonly closes: boolean;
}

/** All kinds of requests. */
export type Request = CommandRequest | StorageRequest | MetaSetRequest | RefusedRequest | EndRequest | BinaryRequest;

/** The limits of the decoders. */
export interface Limits {
  /** The largest item, in bytes, as the store counts. */
  readonly maxItem: number;
  /** The longest line with a list of keys, in bytes; other lines may have 2048. */
  readonly maxLine: number;
}
