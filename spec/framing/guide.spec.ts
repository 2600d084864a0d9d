import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { home, PageCode } from '../support/page.ts';

let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of('lib/framing/DECODERS.md');
});

afterAll(() => code.remove());

describe('the guide on decoders and operators', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(4);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('has programs whose assertions hold', async () => {
    expect(await code.run(0, 1, 2, 3)).toEqual({ code: 0, output: '' });
  });

  it('shows the throttle that throttle.spec.ts specifies', async () => {
    const file = await readFile(join(home, 'spec/support/throttle.ts'), 'utf8');
    const throttle = file.slice(file.indexOf('/**'));
    expect(throttle).toContain('operateBytes(');
    expect(code.programs[3]).toContain(throttle);
  });
});
