import { type FileHandle, open } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { drawScene } from '../shared/camera/scenes/scene.ts';
import { asNetworkSees, sceneInput } from './harness/scene-pictures.ts';

/** What to export: the scenes of `count` seeds from `seed` on, `size` x `size` pixels each. */
export interface SceneExport {
  readonly seed: number;
  readonly count: number;
  readonly size: number;
}

/** Scenes in progress at once: one is drawn while the JPEG library works on the others. */
const batch = 16;

/**
 * Writes scenes as the network gets them, in the layout of CIFAR-10's binary files; `training/data.py` reads it.
 *
 *   file   = record*                      in the order of the seeds
 *   record = label plane plane plane      red, green, blue; 1 + 3 * size * size bytes
 *   label  = class index, one byte
 *   plane  = size * size bytes, row by row
 */
export async function writeScenes(file: FileHandle, { seed, count, size }: SceneExport): Promise<void> {
  const start = Date.now();
  for (let done = 0; done < count; ) {
    const wanted = Math.min(batch, count - done);
    const records = await Promise.all(
      Array.from({ length: wanted }, async (_, index) => {
        const own = seed + done + index;
        const scene = drawScene(own);
        return [Uint8Array.of(scene.classIndex), await asNetworkSees(scene, own, sceneInput(size))];
      }),
    );
    for (const part of records.flat()) await file.write(part);
    done += wanted;
    const leftS = Math.round(((Date.now() - start) / done / 1000) * (count - done));
    if (done % (batch * 32) === 0) console.error(`${done} of ${count} scenes, ${leftS} s left`);
  }
}

/** The command `npm run scenes -- --count N --seed S --size 128 --out FILE`. */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '0' },
      size: { type: 'string', default: '128' },
      out: { type: 'string', default: 'scenes.bin' },
    },
  });
  const file = await open(values.out, 'w');
  try {
    await writeScenes(file, { seed: Number(values.seed), count: Number(values.count), size: Number(values.size) });
  } finally {
    await file.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));
