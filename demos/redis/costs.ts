import type { ByteString } from './resp/reply.ts';

/** What V8 takes beside the characters, in bytes and roughly: for a word in an array, and for the array and what refers to it. */
const WORD = 32;
const COMMAND = 100;
/** For a name that is found in both directions, by the client and by the name. */
const NAME = 400;
/** For each character of a pattern, which is taken apart. */
const PATTERN = 64;

/** What a command costs that is kept. */
export const costOfCommand = (words: readonly ByteString[]): number =>
  words.reduce((sum, word) => sum + WORD + word.length, COMMAND);

/** What the name of a key or a channel costs that a client waits for. */
export const costOfName = (name: ByteString): number => NAME + name.length;

/** What a pattern costs that a client waits for. */
export const costOfPattern = (pattern: ByteString): number => NAME + PATTERN * pattern.length;
