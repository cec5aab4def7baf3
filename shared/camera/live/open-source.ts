import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { TesseraError } from '../../errors.ts';
import type { Bus } from '../../ports.ts';
import { openPipe } from '../../runtime/file.ts';
import { formatsOf, listsJpegs, programOf, type Wanted } from '../programs.ts';
import type { Source } from '../source.ts';
import { type SourceName, secretsOf } from '../source-name.ts';
import { streamSource } from '../stream-source.ts';
import { topicSource } from '../topic-source.ts';
import { fileSource, pictureFiles, unreadable, VIDEO } from './file-source.ts';
import { httpSource } from './http-source.ts';
import { allSaid, programSource } from './program-source.ts';
import { sceneSource } from './scene-source.ts';

/** What sources need. */
export interface SourceDeps {
  readonly bus: Bus | undefined;
  /** Hears why a picture of a folder is skipped. */
  readonly skipped: (why: string) => void;
}

/** Opens a source, once. Throws TESSERA_INPUT_INVALID or TESSERA_USAGE with the reason, without passwords. */
export async function openSource(name: SourceName, wanted: Wanted, deps: SourceDeps): Promise<Source> {
  switch (name.kind) {
    case 'rtsp':
    case 'rpicam':
      return programSource(programOf(name, wanted), secretsOf(name));
    case 'usb': {
      // Where it cannot be listed, reading it says why.
      const writesJpegs = listsJpegs(await allSaid(formatsOf(name.device))) ?? true;
      return programSource(programOf({ ...name, writesJpegs }, wanted), []);
    }
    case 'http':
      return httpSource(name.url, wanted.certificate);
    case 'topic':
      if (deps.bus === undefined)
        throw new TesseraError('TESSERA_USAGE', 'a topic is read where a broker is connected');
      return topicSource(deps.bus, name.topic);
    case 'synthetic':
      return sceneSource();
    case 'stdin':
      return streamSource(process.stdin);
    case 'path':
      return openPath(name.path, wanted, deps);
  }
}

async function openPath(path: string, wanted: Wanted, { skipped }: SourceDeps): Promise<Source> {
  const pipe = await openPipe(path);
  if (pipe !== undefined) return streamSource(pipe);
  const found = await stat(path).catch((cause) => {
    throw unreadable(path, cause);
  });
  if (!VIDEO.has(extname(path).toLowerCase())) return fileSource(await pictureFiles([path]), skipped);
  // ffmpeg would wait for a device for ever.
  if (!found.isFile()) throw unreadable(path, new Error('it is no file'));
  return programSource(programOf({ kind: 'path', path }, wanted), []);
}
