import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PageCode } from '../support/page.ts';

let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of('lib/flow/CONTEXT.md');
});

afterAll(() => code.remove());

describe('the guide on context', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(3);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it.each([0, 1])('has a program %i whose assertions hold, and that ends', async (index) => {
    expect(await code.run(index)).toEqual({ code: 0, output: '' });
  });
});
