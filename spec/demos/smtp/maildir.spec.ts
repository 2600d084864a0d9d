import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { maildir } from '../../../demos/smtp/maildir.ts';
import type { Store } from '../../../demos/smtp/store.ts';
import { uniqueId } from '../../../demos/smtp/trace.ts';

let folder: string;
let store: Store;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'sluice-maildir-')), 'mail');
  store = await maildir(folder, 'mx/1:2.test');
});
afterEach(() => rm(join(folder, '..'), { recursive: true }));

const files = async () => ({ tmp: await readdir(join(folder, 'tmp')), new: await readdir(join(folder, 'new')) });
const arriving = () => ({ from: 'a', to: ['b'], id: uniqueId(), trace: 'Received: x\r\n' });

describe('a maildir', () => {
  it('has its three folders, and may exist already', async () => {
    expect((await readdir(folder)).sort()).toEqual(['cur', 'new', 'tmp']);
    await expect(maildir(folder, 'mx.test')).resolves.toBeDefined();
  });

  it('cannot be a file', async () => {
    const path = join(folder, 'file');
    await writeFile(path, '');
    await expect(maildir(path, 'mx.test')).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it.skipIf(process.getuid?.() === 0)('must be writable from the start', async () => {
    for (const name of ['tmp', 'new']) {
      await chmod(join(folder, name), 0o500);
      await expect(maildir(folder, 'mx.test')).rejects.toMatchObject({ code: 'EACCES' });
      await chmod(join(folder, name), 0o700);
    }
  });

  it('has a message in tmp until it is committed, and then whole in new', async () => {
    const message = arriving();
    const delivery = await store.begin(message);
    await delivery.write(Buffer.from('hel'));
    const name = `${message.id}.mx\\0571\\0722.test`;
    expect(await files()).toEqual({ tmp: [name], new: [] });
    await delivery.write(Buffer.from('lo\r\n'));
    await delivery.commit();
    expect(await files()).toEqual({ tmp: [], new: [name] });
    const path = join(folder, 'new', name);
    expect(await readFile(path, 'utf8')).toBe('Received: x\r\nhello\r\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('has nothing of a message that is aborted, even within a write', async () => {
    const delivery = await store.begin(arriving());
    const writing = delivery.write(Buffer.alloc(1_000_000));
    await Promise.all([delivery.abort(), writing.catch(() => undefined)]);
    expect(await files()).toEqual({ tmp: [], new: [] });
    await delivery.abort();
  });

  it('stores messages that arrive at once under different names', async () => {
    const deliveries = await Promise.all(Array.from({ length: 100 }, () => store.begin(arriving())));
    await Promise.all(deliveries.map((one) => one.commit()));
    expect((await files()).new).toHaveLength(100);
  });

  it('has nothing of a message when one of its folders is gone', async () => {
    const delivery = await store.begin(arriving());
    await rm(join(folder, 'new'), { recursive: true });
    await expect(delivery.commit()).rejects.toMatchObject({ code: 'ENOENT' });
    await delivery.abort();
    expect(await readdir(join(folder, 'tmp'))).toEqual([]);
    await rm(join(folder, 'tmp'), { recursive: true });
    await expect(store.begin(arriving())).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
