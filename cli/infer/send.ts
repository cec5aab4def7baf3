import { randomBytes } from 'node:crypto';
import { TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { FrameFile } from '../frame-files.ts';
import type { FrameClient } from '../frames.ts';
import type { Shown } from '../progress.ts';
import { untilAborted } from '../signals.ts';

const TIMEOUT_MS = 120_000;

/** Input, output and callbacks of one `infer`. */
export interface Run {
  readonly files: readonly string[];
  readonly dump: string | undefined;
  readonly signal: AbortSignal;
  readonly save: string | undefined;
  /** `saved`: the files that --save wrote for this frame. */
  readonly report: (file: string, result: ResultObject, saved: readonly string[]) => void;
  readonly note: (text: string) => void;
  /** Where progress is shown. */
  readonly shown: Shown;
}

/** Sends the frames one after another, so that no frame adds to another one's latency. */
export async function send(
  camera: FrameClient,
  frames: readonly FrameFile[],
  run: Run,
  { model, card }: { readonly model?: string; readonly card?: ModelCard | undefined } = {},
): Promise<ResultObject[]> {
  const results: ResultObject[] = [];
  const saved = run.save === undefined ? undefined : await openSaved(run.save, card, run.note);
  for (const frame of frames) {
    if (run.signal.aborted) break;
    const envelope = await frame.read();
    const sent = camera.send(randomBytes(8).toString('hex'), envelope, TIMEOUT_MS, model);
    const answer = await untilAborted(sent, run.signal).catch((error: unknown) => {
      if (!run.signal.aborted || error instanceof TesseraError) throw error;
      return undefined;
    });
    if (answer === undefined) break;
    const { result, tensors } = answer;
    const first = tensors?.outputs[0];
    if (run.dump !== undefined && first !== undefined && results.length === 0) {
      if (first.dtype !== 'float32') run.note(`note: output "${first.tensor}" is ${first.dtype}, written as it is`);
      const { writeOutput } = await import('../../shared/runtime/whole-file.ts');
      await writeOutput({ what: '--dump', path: run.dump }, first.d);
    }
    // Otherwise a file of an earlier run could be mistaken for this run's.
    if (run.dump !== undefined && first === undefined && results.length === 0)
      run.note(`note: ${run.dump} is not written: the first frame has no output`);
    results.push(result);
    const paths = (await saved?.save({ file: frame.file, envelope, result, tensors })) ?? [];
    run.report(frame.file, result, paths);
  }
  return results;
}

/** Opens the folder of --save, created if missing. `card` tells how to draw predictions on pictures. */
export async function openSaved(folder: string, card: ModelCard | undefined, note: Run['note']) {
  const { SavedOutputs } = await import('../saved-outputs.ts');
  return SavedOutputs.open(folder, card, note);
}
