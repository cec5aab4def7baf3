import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentCamera } from '../node-agent/cameras.ts';
import { fileSource, pictureFiles } from '../shared/camera/live/file-source.ts';
import type { Source } from '../shared/camera/source.ts';
import { streamSource } from '../shared/camera/stream-source.ts';
import { failureOf, TesseraError } from '../shared/errors.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import { isName } from '../shared/protocol/topics.ts';
import { openPipe } from '../shared/runtime/file.ts';

/** A camera on the command line: `NAME=SOURCE`. */
export interface CameraSetting {
  readonly name: string;
  readonly source: string;
}

/** Parses `NAME=SOURCE`. Throws TESSERA_USAGE. */
export function cameraSetting(text: string, flag: string): CameraSetting {
  const at = text.indexOf('=');
  const name = text.slice(0, at);
  const source = text.slice(at + 1);
  if (at > 0 && isName(name) && source !== '') return { name, source };
  throw new TesseraError('TESSERA_USAGE', `${flag} ${text}: expected NAME=SOURCE`, {
    hint: 'a camera is named with 1 to 64 of A-Z, a-z, 0-9, _ and -; a source is a folder, a file, a named pipe, or - for standard input',
  });
}

/** Opens the cameras of an agent; files come `fps` times a second, again and again. Throws TESSERA_USAGE. */
export async function openCameras(settings: readonly CameraSetting[], fps: number, log: Log): Promise<AgentCamera[]> {
  const twice = settings.find(({ name }, index) => settings.findIndex((other) => other.name === name) < index);
  if (twice !== undefined)
    throw new TesseraError('TESSERA_USAGE', `--camera ${twice.name} is given twice`, {
      hint: 'name each camera once',
    });
  const [first, second] = settings.filter(({ source }) => source === '-');
  if (second !== undefined)
    throw new TesseraError('TESSERA_USAGE', `--camera ${second.name}=- reads what camera ${first!.name} reads`, {
      hint: 'standard input is one camera: give the other one a named pipe',
    });
  const throttledLog = new LogThrottle(log, () => performance.now());
  const cameras: AgentCamera[] = [];
  for (const { name, source } of settings) {
    const skipped = (why: string): void => throttledLog.warn(name, `camera ${name} skips a picture: ${why}`);
    cameras.push({ name, source: await openOne(source, fps, skipped) });
  }
  return cameras;
}

async function openOne(source: string, fps: number, skipped: (why: string) => void): Promise<Source> {
  if (source === '-') return streamSource(process.stdin);
  const pipe = await openPipe(source);
  return pipe === undefined ? paced(fileSource(await pictureFiles([source])), fps, skipped) : streamSource(pipe);
}

/** At most so many pictures a second; a file that cannot be read now is skipped. */
function paced(source: Source, fps: number, skipped: (why: string) => void): Source {
  const stopped = new AbortController();
  let next = 0;
  return {
    async next() {
      for (;;) {
        const now = performance.now();
        next = Math.max(next, now) + 1000 / fps;
        const waited = await sleep(next - 1000 / fps - now, true, { signal: stopped.signal }).catch(() => false);
        if (!waited) return undefined;
        try {
          return await source.next();
        } catch (error) {
          skipped(failureOf(error).message);
        }
      }
    },
    async stop() {
      stopped.abort();
      await source.stop();
    },
  };
}
