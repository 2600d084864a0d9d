import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { home, PageCode } from '../support/page.ts';

const page = 'lib/tls/TLS.md';
let code: PageCode;

beforeAll(async () => {
  code = await PageCode.of(page);
});

afterAll(() => code.remove());

describe('the guide on TLS', () => {
  it('has programs that the compiler accepts', async () => {
    expect(code.programs).toHaveLength(3);
    expect(await code.compile()).toEqual({ code: 0, output: '' });
  });

  it('names how many handshakes begin in one iteration', async () => {
    const text = await readFile(join(home, 'lib/tls/handshakeQueue.ts'), 'utf8');
    expect(text).toContain('const HANDSHAKES = 2;');
    expect(await readFile(join(home, page), 'utf8')).toContain('the handshake, two in one iteration');
  });
});
