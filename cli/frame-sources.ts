import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { JpegStream } from '../shared/camera/jpeg-stream.ts';
import { pictureFiles, readFrame } from '../shared/camera/live/file-source.ts';
import { Pace } from '../shared/camera/live/pace.ts';
import { counted } from '../shared/counted.ts';
import { TesseraError } from '../shared/errors.ts';
import { adviceFor, describeBytes, payloadKind } from '../shared/model/payload-kind.ts';

/** A picture to send, with a unique id. */
export interface OutgoingFrame {
  readonly id: string;
  readonly format: 'jpeg' | 'png';
  readonly bytes: Uint8Array;
}

/** How frames are taken from their source. */
export interface FrameSourceOptions {
  readonly loop: boolean;
  /** Files: the rate, 5 when undefined. Stream: frames over this rate are left out; undefined keeps all. */
  readonly fps: number | undefined;
  /** Ends the source when aborted. */
  readonly signal: AbortSignal;
  /** Gets notes about skipped frames. */
  readonly note: (text: string) => void;
}

/** Default rate of files, frames a second: slow enough for a small cluster. */
const FILE_FPS = 5;

/**
 * Frames of files and folders in their order, or of a stream of JPEGs for `-`. Throws TESSERA_INPUT_INVALID,
 * TESSERA_USAGE.
 */
export function framesOf(paths: readonly string[], options: FrameSourceOptions): AsyncGenerator<OutgoingFrame> {
  // A camera that sends the same file again means a new frame: the run number keeps it from being taken for a redelivery.
  const run = randomBytes(6).toString('hex');
  return paths[0] === '-' ? framesOfStream(process.stdin, run, options) : framesOfFiles(paths, run, options);
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
