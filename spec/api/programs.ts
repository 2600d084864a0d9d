import { readFile } from 'node:fs/promises';
import { selfSigned } from '../support/certificates.ts';
import { type Outcome, PageCode } from '../support/page.ts';
import type { Run } from './world.ts';

/** Programs in one project, in which `./world.ts` is what `world.ts` here says. */
export class Programs {
  readonly #code: PageCode;
  readonly #count: number;

  private constructor(code: PageCode, count: number) {
    this.#code = code;
    this.#count = count;
  }

  /** @param programs Their code, and how many lines each prints. */
  static async of(programs: readonly { readonly code: string; readonly prints: number }[]): Promise<Programs> {
    const { cert, key } = await selfSigned();
    const world = await readFile(new URL('world.ts', import.meta.url), 'utf8');
    const all = programs.map(({ prints }, i) => ({ file: `./${i}.ts`, prints }));
    const main = `
import { runAll } from './world.ts';
await runAll(${JSON.stringify(all)}.map(({ file, prints }) => ({ file: new URL(file, import.meta.url).href, prints })));
`;
    const code = await PageCode.from([...programs.map((one) => one.code), main], {
      'server.pem': cert,
      'server.key': key,
      'ca.pem': cert,
      'clients.pem': cert,
      'world.ts': world.replaceAll('../../lib/index.ts', 'sluice'),
    });
    return new Programs(code, programs.length);
  }

  compile(): Promise<Outcome> {
    return this.#code.compile();
  }

  /** Runs them in their order, in one process. */
  async run(): Promise<Run[]> {
    const { output } = await this.#code.run(this.#count);
    const runs = output.split('\n').findLast((line) => line.startsWith('[{'));
    if (runs === undefined) throw new Error(output);
    return JSON.parse(runs);
  }

  remove(): Promise<void> {
    return this.#code.remove();
  }
}
