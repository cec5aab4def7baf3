import { join } from 'node:path';
import type { ResultObject } from '../shared/protocol/messages/result.ts';
import { writeWhole } from '../shared/runtime/whole-file.ts';
import { annotatedPicture } from './annotated-picture.ts';

/** What the parts of a line of the demo are, in its order. */
export const LEGEND =
  'each line: frame, prediction (and what was drawn), time from frame to result, tiles by node, ' +
  'bytes of tiles sent and of results received (of their uncompressed size)';

/**
 * What to try after the demo. `own`: how this program is started; `broker`: its option where it is not the usual one.
 */
export function nextSteps(own: string, broker: string): readonly string[] {
  return [
    `next, in a second terminal: \`${own} watch${broker}\` follows the predictions, \`${own} nodes${broker}\` shows the nodes`,
    `your own photo: \`${own} model add fastestdet\`, then \`${own} infer photo.jpg --model fastestdet --save seen\``,
  ];
}

/** Writes an annotated frame into the state directory, in place of the last demo's, and returns its path. */
export async function saveDemoPicture(stateDir: string, bytes: Uint8Array, result: ResultObject): Promise<string> {
  const path = join(stateDir, 'demo.jpg');
  const shown = result.predictions.filter(({ box }) => box !== undefined);
  const file = { what: 'the picture of the demo', path, mode: 0o644 };
  await writeWhole(file, await annotatedPicture(bytes, shown.length > 0 ? shown : result.predictions.slice(0, 1)));
  return path;
}
