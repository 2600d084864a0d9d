import { Prefixes } from './prefixes.ts';

/**
 * One read buffer for all connections, as large as one read of libuv can be.
 *
 * Node allocates 64 KiB for each read otherwise. What is read is passed on within the read, so an idle connection holds no
 * buffer.
 */
export const sharedBuffer = Buffer.allocUnsafeSlow(64 * 1024);

/** The bytes of one read, which the next read overwrites. */
export const prefixes = new Prefixes(sharedBuffer);
