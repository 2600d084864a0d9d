/**
 * The shortest of up to `tries` times, because other load of the machine can only make a time longer. Stops at the first time
 * of less than `enough` ms.
 *
 * @param go Runs once, and resolves with the time that it measured, in milliseconds.
 */
export async function quickest(enough: number, go: () => Promise<number>, tries = 8): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let tried = 0; tried < tries && least >= enough; tried++) least = Math.min(least, await go());
  return least;
}
