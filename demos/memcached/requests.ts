import type { MetaFlags } from './meta-flags.ts';
import type { Mode } from './store.ts';

/** A line that needs no data: its words. */
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

/** Something that can be answered without being tried. */
export interface RefusedRequest {
  readonly type: 'refused';
  /** The reply, without its line end. Empty for none. */
  readonly reply: string;
  /** What was refused is too large. */
  readonly tooLarge: boolean;
  /** The key whose old value must not outlive the refusal. */
  readonly drop: string | undefined;
}

/** The peer wants to leave. */
export interface EndRequest {
  readonly type: 'end';
}

/** A request of the binary protocol, whole or refused. */
export interface BinaryRequest {
  readonly type: 'binary';
  /** The command, quiet forms included. */
  readonly opcode: number;
  /** Comes back with the reply. */
  readonly opaque: number;
  readonly cas: number;
  /** What stands before the key: flags, expiry, numbers. Always owned. */
  readonly extras: Uint8Array;
  readonly key: string;
  /** Always owned. */
  readonly value: Uint8Array;
  /** Refused with this status and not tried. 0 for a request that is to be done. */
  readonly status: number;
  /** The connection ends behind the reply. */
  readonly closes: boolean;
}

/** What a peer can ask. */
export type Request = CommandRequest | StorageRequest | MetaSetRequest | RefusedRequest | EndRequest | BinaryRequest;

/** What the decoders have to know. */
export interface Limits {
  /** The largest item, in bytes, as the store counts. */
  readonly maxItem: number;
  /** The longest line of keys to get, in bytes; other lines may have 2048. */
  readonly maxLine: number;
}
