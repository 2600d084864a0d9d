import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/**
 * A checker of Stryker's that takes the part `SAMPLE` of all mutants, and reports the rest as "compile errors", which do not
 * count. It hashes the line, the column in it, the mutator and the replacement. So each run takes the same mutants, and most
 * of them again after the line has moved to another file.
 */
class Sample {
  static inject = [];
  #lines = new Map();
  #part = Number(process.env.SAMPLE);

  async init() {}

  async group(mutants) {
    return [mutants.map(({ id }) => id)];
  }

  async check(mutants) {
    const results = {};
    for (const { id, fileName, location, mutatorName, replacement } of mutants) {
      if (!this.#lines.has(fileName)) this.#lines.set(fileName, (await readFile(fileName, 'utf8')).split('\n'));
      const line = this.#lines.get(fileName)[location.start.line];
      const column = location.start.column - line.search(/\S/);
      const hash = createHash('sha1')
        .update(JSON.stringify([line.trim(), column, mutatorName, replacement]))
        .digest();
      const taken = hash.readUInt32BE() / 2 ** 32 < this.#part;
      results[id] = taken ? { status: 'passed' } : { status: 'compileError', reason: 'not in the sample' };
    }
    return results;
  }
}

export const strykerPlugins = [{ kind: 'Checker', name: 'sample', injectableClass: Sample }];
