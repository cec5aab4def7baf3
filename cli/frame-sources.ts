import { randomBytes } from 'node:crypto';
import { basename, extname } from 'node:path';
import { JpegStream } from '../shared/camera/jpeg-stream.ts';
import { pictureFiles, readFrame, VIDEO } from '../shared/camera/live/file-source.ts';
import { openCamera } from '../shared/camera/live/open-camera.ts';
import { Pace } from '../shared/camera/live/pace.ts';
import { PictureWork } from '../shared/camera/live/picture-work.ts';
import { parseSource, type SourceName } from '../shared/camera/source-name.ts';
import { sourceSettings } from '../shared/camera/source-settings.ts';
import { counted } from '../shared/counted.ts';
import { TesseraError } from '../shared/errors.ts';
import { adviceFor, describeBytes, payloadKind } from '../shared/model/payload-kind.ts';
import type { Bus, Log } from '../shared/ports.ts';
import { checkSource } from './agent-cameras.ts';

/** A picture to send, with a unique id. */
export interface OutgoingFrame {
  readonly id: string;
  readonly format: 'jpeg' | 'png';
  readonly bytes: Uint8Array;
}

/** How frames are taken from their source. */
export interface FrameSourceOptions {
  readonly loop: boolean;
  /** Files and cameras: the rate, 5 when undefined. Stream: frames over this rate are left out; undefined keeps all. */
  readonly fps: number | undefined;
  /** Ends the source when aborted. */
  readonly signal: AbortSignal;
  /** Gets notes about skipped frames. */
  readonly note: (text: string) => void;
  /** For pictures of a topic. */
  readonly bus: Bus | undefined;
  readonly log: Log;
}

/** Default rate of files, frames a second: slow enough for a small cluster. */
const FILE_FPS = 5;

/**
 * Frames of files and folders in their order, of a camera or video, or of a stream of JPEGs for `-`. Throws TESSERA_INPUT_INVALID,
 * TESSERA_USAGE.
 */
export function framesOf(paths: readonly string[], options: FrameSourceOptions): AsyncGenerator<OutgoingFrame> {
  // A camera that sends the same file again means a new frame: the run number keeps it from being taken for a redelivery.
  const run = randomBytes(6).toString('hex');
  if (paths[0] === '-') return framesOfStream(process.stdin, run, options);
  const source = cameraAmong(paths);
  if (source === undefined) return framesOfFiles(paths, run, options);
  if (!options.loop) return framesOfCamera(source, run, options);
  throw new TesseraError('TESSERA_USAGE', 'a camera or a video never ends', { hint: 'omit --loop' });
}

/** The camera or video that is named; undefined where all are files. Throws TESSERA_USAGE where it is not named alone. */
export function cameraAmong(paths: readonly string[]): SourceName | undefined {
  for (const path of paths) {
    const source = parseSource(path);
    if (typeof source === 'string' || !isRead(source)) continue;
    if (paths.length === 1) return source;
    throw new TesseraError('TESSERA_USAGE', 'a camera or a video goes with no other file', { hint: 'name it alone' });
  }
  return undefined;
}

/** Whether a source is read until somebody stops it, unlike files. */
function isRead(source: SourceName): boolean {
  return source.kind !== 'path' || VIDEO.has(extname(source.path).toLowerCase());
}

async function* framesOfCamera(
  source: SourceName,
  run: string,
  { fps, signal, bus, log }: FrameSourceOptions,
): AsyncGenerator<OutgoingFrame> {
  await checkSource(source);
  const work = new PictureWork();
  const settings = sourceSettings(source, { max_fps: fps });
  const deps = { bus, work, needed: () => undefined, onReport: () => {}, log };
  const camera = openCamera(source.kind, settings, deps);
  signal.addEventListener('abort', () => void camera.stop(), { once: true });
  try {
    for (let count = 0; ; count++) {
      const shot = await camera.next();
      if (shot === undefined) return;
      const format = payloadKind(shot.bytes);
      if (format === 'jpeg' || format === 'png') yield { id: `${shot.id}-${run}-${count}`, format, bytes: shot.bytes };
    }
  } finally {
    await camera.stop();
    await work.stop();
  }
}

async function* framesOfFiles(
  paths: readonly string[],
  run: string,
  { loop, fps, signal }: FrameSourceOptions,
): AsyncGenerator<OutgoingFrame> {
  const files = await pictureFiles(paths);
  const pace = new Pace(fps ?? FILE_FPS);
  for (let round = 0; round === 0 || loop; round++) {
    for (const [index, file] of files.entries()) {
      await pace.turn(signal);
      const bytes = await readFrame(file);
      const format = payloadKind(bytes);
      if (format !== 'jpeg' && format !== 'png') {
        throw new TesseraError('TESSERA_INPUT_INVALID', `${file} is ${describeBytes(bytes)}`, {
          hint: adviceFor(bytes, 'file'),
        });
      }
      yield { id: `${idOf(file)}-${run}-${round * files.length + index}`, format, bytes };
    }
  }
}

/** Frames of a stream of JPEGs, as they come. */
export async function* framesOfStream(
  stream: AsyncIterable<Uint8Array> & { destroy?(): void },
  run: string,
  { fps, signal, note }: FrameSourceOptions,
): AsyncGenerator<OutgoingFrame> {
  const splitter = new JpegStream();
  const pace = fps === undefined ? undefined : new Pace(fps);
  let count = 0;
  let leftOut = 0;
  // A silent source would otherwise delay the end after Ctrl-C.
  signal.addEventListener('abort', () => stream.destroy?.(), { once: true });
  try {
    for await (const chunk of stream) {
      for (const bytes of splitter.push(chunk)) {
        if (signal.aborted) return;
        if (pace === undefined || pace.take()) yield { id: `stream-${run}-${count++}`, format: 'jpeg', bytes };
        else leftOut++;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (leftOut > 0) note(`skipped, above the rate of --fps: ${counted(leftOut, 'frame')}`);
  if (count === 0 && leftOut === 0 && !signal.aborted) {
    throw new TesseraError('TESSERA_INPUT_INVALID', 'standard input held no JPEG', {
      hint: 'for video, let a program write JPEGs: ffmpeg -i SOURCE -f mjpeg -',
    });
  }
  const lost = splitter.skippedBytes + splitter.pending;
  if (lost > 0) note(`${lost} bytes of the stream belonged to no whole JPEG`);
}

/** A file's name with only what a frame id may hold. */
function idOf(file: string): string {
  return basename(file)
    .replace(/[^A-Za-z0-9_.:-]/g, '_')
    .slice(0, 100);
}
