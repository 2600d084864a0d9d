/**
 * Bytes that Node reads, or keeps unsent, before it applies backpressure. Set explicitly, because the default of Node 20 is 16
 * KiB and that of later releases 64 KiB.
 */
export const HIGH_WATER_MARK = 64 * 1024;

/**
 * The time before the first keep-alive probe as the kernel accepts it: in whole seconds that fit into 15 bits. The kernel rejects
 * any other value, and then probes after its default of two hours.
 *
 * @param keepAlive In milliseconds, or `false` for no probes.
 */
export function probeDelay(keepAlive: number | false): number | false {
  if (keepAlive === false || keepAlive === Number.POSITIVE_INFINITY) return false;
  return 1000 * Math.min(Math.max(Math.ceil(keepAlive / 1000), 1), 0x7fff);
}
