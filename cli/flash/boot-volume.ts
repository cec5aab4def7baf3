import { readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { readBytes } from '../../shared/runtime/file.ts';
import { writeWhole } from '../../shared/runtime/whole-file.ts';

/** The boot partition of a card, or of an image. Names are of files at its top. */
export interface BootVolume {
  /** The files and folders at its top. */
  names(): Promise<readonly string[]>;
  /** Bytes that are free. */
  free(): Promise<number>;
  read(name: string): Promise<Uint8Array>;
  write(name: string, content: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
}

/** A boot partition that is mounted at a folder. */
export function mountedVolume(folder: string): BootVolume {
  return {
    names: () => readdir(folder),
    async free() {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
    read: (name) => readBytes(join(folder, name)),
    write: (name, content) =>
      writeWhole({ what: 'a file of the card', path: join(folder, name), mode: 0o644 }, content),
    remove: (name) => rm(join(folder, name), { force: true }),
  };
}
