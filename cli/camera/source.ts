import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { TesseraError } from '../../shared/errors.ts';
import type { Bus } from '../../shared/ports.ts';
import { readBytes } from '../../shared/runtime/file.ts';
import { WorkerCalls } from '../../shared/runtime/worker-call.ts';
import { workerEntry } from '../../shared/runtime/worker-entry.ts';
import { seedRanges } from '../../shared/scene/scene.ts';

/** One picture of a camera. `truth`: what a drawn scene shows. */
export interface Shot {
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly truth?: string;
}

/** A camera: pictures one after another, made when asked for; undefined after the last. */
export interface Source {
  next(): Promise<Shot | undefined>;
  stop(): Promise<void>;
}

const PICTURE = new Set(['.jpg', '.jpeg', '.png']);

/** The picture files that a list of files and folders stands for, folders in order of names. Throws TESSERA_USAGE. */
export async function pictureFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    const info = await stat(path).catch((cause) => {
      throw unreadable(path, cause);
    });
    if (!info.isDirectory()) files.push(path);
    else
      for (const name of (await readdir(path)).sort())
        if (PICTURE.has(extname(name).toLowerCase())) files.push(join(path, name));
  }
  if (files.length === 0)
    throw new TesseraError('TESSERA_USAGE', `no JPEG or PNG file in ${paths.join(', ')}`, {
      hint: 'name a file, or a folder that holds some',
    });
  return files;
}

/** The bytes of a frame's file. Throws TESSERA_USAGE. */
export async function readFrame(file: string): Promise<Uint8Array> {
  return readBytes(file).catch((cause) => {
    throw unreadable(file, cause);
  });
}

/** The error for a frame's file that cannot be read. */
export function unreadable(file: string, cause: Error): TesseraError {
  return new TesseraError('TESSERA_USAGE', `cannot read ${file}: ${cause.message}`, {
    cause,
    hint: 'name a file that exists and may be read, or a folder of them',
  });
}

/** Drawn scenes that no network was trained on. */
function sceneSource(): Source {
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

/** Files in turn, again from the first after the last. */
function fileSource(files: readonly string[]): Source {
  let index = 0;
  return {
    async next() {
      const file = files[index++ % files.length]!;
      // Frame ids go into topics, so a name keeps only what may stand there.
      const id = basename(file)
        .replace(/[^A-Za-z0-9_.-]/g, '_')
        .slice(-64);
      return { id, bytes: await readFrame(file) };
    },
    async stop() {},
  };
}

/** What somebody else publishes on a topic as JPEG or PNG files; the newest wins. */
async function topicSource(bus: Bus, topic: string): Promise<Source> {
  let newest: Uint8Array | undefined;
  let wake: () => void = () => {};
  let count = 0;
  await bus.subscribe(topic, 0, ({ payload, retained }) => {
    if (retained) return;
    newest = new Uint8Array(payload);
    wake();
  });
  return {
    async next() {
      if (newest === undefined)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const bytes = newest;
      newest = undefined;
      return bytes === undefined ? undefined : { id: `topic-${count++}`, bytes };
    },
    async stop() {
      await bus.unsubscribe(topic);
      wake();
    },
  };
}

/** Opens `synthetic`, a file, a folder, or `mqtt:TOPIC`. Throws TESSERA_USAGE. */
export async function openSource(name: string, bus: Bus): Promise<Source> {
  if (name === 'synthetic') return sceneSource();
  if (name.startsWith('mqtt:')) return topicSource(bus, name.slice('mqtt:'.length));
  return fileSource(await pictureFiles([name]));
}
