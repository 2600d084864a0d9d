import { type ByteString, bulk } from '../../../../demos/redis/resp/reply.ts';

/** A request, as a client sends it and as the log stores it. */
export const request = (args: readonly ByteString[]): ByteString => `*${args.length}\r\n${args.map(bulk).join('')}`;
