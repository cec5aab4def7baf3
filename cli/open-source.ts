import { fileSource, pictureFiles } from '../shared/camera/file-source.ts';
import type { Source } from '../shared/camera/source.ts';
import { topicSource } from '../shared/camera/topic-source.ts';
import type { Bus } from '../shared/ports.ts';
import { sceneSource } from './demo/scene-source.ts';

/** Opens `synthetic`, a file, a folder, or `mqtt:TOPIC`. Throws TESSERA_USAGE. */
export async function openSource(name: string, bus: Bus): Promise<Source> {
  if (name === 'synthetic') return sceneSource();
  if (name.startsWith('mqtt:')) return topicSource(bus, name.slice('mqtt:'.length));
  return fileSource(await pictureFiles([name]));
}
