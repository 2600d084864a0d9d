/** Calls a function. @returns The messages of the errors that nothing caught until its promise was resolved. */
export async function uncaughtWhile(work: () => Promise<void>): Promise<string[]> {
  const thrown: string[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const collect = (error: Error) => void thrown.push(error.message);
  process.on('uncaughtException', collect);
  try {
    await work();
  } finally {
    process.off('uncaughtException', collect);
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
  return thrown;
}
