import { access, constants, type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Delivery, Store } from './store.ts';

/** Slashes and colons have a meaning in the names of a maildir. */
const escaped = (host: string): string => host.replaceAll('/', '\\057').replaceAll(':', '\\072');

/**
 * Opens a maildir, and makes its folders. It is rejected if they cannot be used, before a client finds that out. A message is written to a file in `tmp`, flushed to the disk, and renamed into `new`. So
 * readers see whole messages only, and what is in `new` survives a loss of power.
 *
 * @param folder The maildir.
 * @param host The name of this machine, which is a part of each file's name: several may deliver to the same folder.
 */
export async function maildir(folder: string, host: string): Promise<Store> {
  for (const name of ['tmp', 'new', 'cur']) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
  for (const name of ['tmp', 'new']) await access(join(folder, name), constants.R_OK | constants.W_OK | constants.X_OK);
  return {
    begin: async (message) => {
      const name = `${message.id}.${escaped(host)}`;
      const path = join(folder, 'tmp', name);
      const file = await open(path, 'wx', 0o600);
      const delivery = new MaildirDelivery(file, path, join(folder, 'new'), name);
      try {
        await delivery.write(Buffer.from(message.trace));
      } catch (error) {
        await delivery.abort();
        throw error;
      }
      return delivery;
    },
  };
}

class MaildirDelivery implements Delivery {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #folder: string;
  readonly #name: string;

  constructor(file: FileHandle, path: string, folder: string, name: string) {
    this.#file = file;
    this.#path = path;
    this.#folder = folder;
    this.#name = name;
  }

  async write(bytes: Uint8Array): Promise<void> {
    // `write` may write a part of the bytes only.
    for (let at = 0; at < bytes.length; ) at += (await this.#file.write(bytes, at)).bytesWritten;
  }

  async commit(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
    await rename(this.#path, join(this.#folder, this.#name));
    // The name is in the folder, which is flushed by itself.
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  async abort(): Promise<void> {
    // It waits for a write in progress. The file may be closed already, or be renamed, or the disk may be gone.
    await this.#file.close().catch(() => undefined);
    await rm(this.#path, { force: true }).catch(() => undefined);
    await rm(join(this.#folder, this.#name), { force: true }).catch(() => undefined);
  }
}
