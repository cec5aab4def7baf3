import { fileSource, pictureFiles } from '../shared/camera/live/file-source.ts';
import { sceneSource } from '../shared/camera/live/scene-source.ts';
import type { Source } from '../shared/camera/source.ts';
import { topicSource } from '../shared/camera/topic-source.ts';
import type { Bus } from '../shared/ports.ts';

/** Opens `synthetic`, a file, a folder, or `mqtt:TOPIC`. Throws TESSERA_USAGE. */
export async function openSource(name: string, bus: Bus): Promise<Source> {
  if (name === 'synthetic') return sceneSource();
  if (name.startsWith('mqtt:')) return topicSource(bus, name.slice('mqtt:'.length));
  return fileSource(await pictureFiles([name]));
}
