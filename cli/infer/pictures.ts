import type { SourceName } from '../../shared/camera/source-name.ts';
import { sourceSettings } from '../../shared/camera/source-settings.ts';
import type { Config } from '../../shared/config/schema.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { Log } from '../../shared/ports.ts';
import { connectCommand } from '../connect.ts';
import { tryCamera, WAIT_S } from '../first-picture.ts';
import { type FrameFile, pictureFrame, pictureFrames } from '../frame-files.ts';
import { cameraAmong } from '../frame-sources.ts';
import type { Run } from './send.ts';

/**
 * The frames of one `infer`: pictures of files and folders, or one picture of a camera or video. Throws TESSERA_USAGE,
 * TESSERA_INPUT_INVALID.
 */
export async function picturesOf(run: Run, settings: Config, log: Log): Promise<FrameFile[]> {
  const tensors = run.dump !== undefined || run.save !== undefined;
  const source = cameraAmong(run.files);
  if (source === undefined) return pictureFrames(run.files, tensors);
  const file = source.kind === 'path' ? source.path : source.kind;
  const bytes = await pictureOf(source, file, settings, log, run.signal);
  return [{ file, read: async () => pictureFrame(bytes, file, tensors) }];
}

async function pictureOf(
  source: SourceName,
  name: string,
  settings: Config,
  log: Log,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bus = source.kind === 'topic' ? await connectCommand(settings, 'infer', log) : undefined;
  try {
    return await tryCamera(name, sourceSettings(source, { resize: 'off' }), bus, signal, async ({ shot, report }) => {
      if (shot !== undefined) return shot.bytes;
      const why = report()?.reason ?? `no picture came within ${WAIT_S} s`;
      throw new TesseraError('TESSERA_INPUT_INVALID', `no picture of ${name}: ${why}`, {
        hint: '`tessera doctor --camera NAME=SOURCE` tries a camera; docs/home.md lists what a source may be',
      });
    });
  } finally {
    await bus?.stop();
  }
}
