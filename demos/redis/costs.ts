import type { ByteString } from './resp/reply.ts';

/** V8's overhead beside the characters, roughly, in bytes: for a string in an array, and for the array with its references. */
const ARGUMENT = 32;
const COMMAND = 100;
/** For a name that is stored twice: with the client, and in a map by name. */
const NAME = 400;
/** For each character of a pattern, because a pattern is compiled. */
const PATTERN = 64;

/** What a queued command costs, in bytes. */
export const costOfCommand = (args: readonly ByteString[]): number =>
  args.reduce((sum, arg) => sum + ARGUMENT + arg.length, COMMAND);

/** What a watched key or a subscribed channel costs, in bytes. */
export const costOfName = (name: ByteString): number => NAME + name.length;

/** What a subscribed pattern costs, in bytes. */
export const costOfPattern = (pattern: ByteString): number => NAME + PATTERN * pattern.length;
