import { firstLine } from './command.ts';

/** Descriptors of a process that are not connections of its case: files, pipes, the first connections of the idle case. */
const spare = 200;

/**
 * Checks that a process may have a descriptor for each connection of each case.
 *
 * @throws RangeError with a sentence otherwise.
 */
export async function checkDescriptors(
  cases: readonly { readonly name: string; readonly connections: number }[],
): Promise<void> {
  const text = await firstLine('sh', ['-c', 'ulimit -Hn']);
  const limit = text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text);
  const large = cases.find(({ connections }) => connections + spare > limit);
  if (large !== undefined)
    throw new RangeError(
      `The case ${large.name} has ${large.connections} connections, but a process may have only ${limit} descriptors here`,
    );
}
