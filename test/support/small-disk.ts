import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A disk that can be filled. */
export interface SmallDisk {
  readonly folder: string;
  /**
   * Fills it to the last page; the returned function frees so many pages of 4 KiB again, all of them without a number.
   */
  fill(): (pages?: number) => void;
  remove(): void;
}

/** A tmpfs of this size (`256k`); undefined where this process may not mount one. */
export async function smallDisk(size: string): Promise<SmallDisk | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', folder], { stdio: 'ignore' });
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
  return {
    folder,
    fill() {
      let pages = 0;
      try {
        for (; ; pages++) writeFileSync(join(folder, `fill-${pages}`), Buffer.alloc(4096));
      } catch {
        // It is full.
      }
      return (count = pages + 1) => {
        const fillers = readdirSync(folder).filter((name) => name.startsWith('fill-'));
        for (const name of fillers.slice(0, count)) rmSync(join(folder, name));
      };
    },
    remove() {
      execFileSync('umount', ['-l', folder]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
