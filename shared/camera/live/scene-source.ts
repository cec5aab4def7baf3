import { Worker } from 'node:worker_threads';
import { WorkerCalls } from '../../runtime/worker-call.ts';
import { workerEntry } from '../../runtime/worker-entry.ts';
import { seedRanges } from '../scenes/scene.ts';
import type { Source } from '../source.ts';

/** A camera of drawn scenes that no network was trained on. */
export function sceneSource(): Source {
  const calls = new WorkerCalls(new Worker(workerEntry(import.meta.url, './scene-worker.ts')));
  let seed: number = seedRanges.camera.from;
  return {
    async next() {
      const mine = seed++;
      const drawn = await calls.call<{ label: string; jpeg: Uint8Array }>('draw', mine);
      return { id: `scene-${mine}`, bytes: drawn.jpeg, truth: drawn.label };
    },
    stop: () => calls.end(),
  };
}

/** So many drawn scenes as JPEGs. */
export async function drawnPictures(count: number): Promise<Uint8Array[]> {
  const source = sceneSource();
  try {
    const shots = await Promise.all(Array.from({ length: count }, () => source.next()));
    return shots.map((shot) => shot!.bytes);
  } finally {
    await source.stop();
  }
}
