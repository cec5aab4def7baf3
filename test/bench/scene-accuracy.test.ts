import { readFile, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { run } from '../../bench/scene-accuracy.ts';
import { sceneClasses } from '../../shared/camera/scenes/objects.ts';
import { parseLabels } from '../../shared/model/labels.ts';

const folder = 'config/models/scenes';

describe('the bundled model', () => {
  it('names its classes in the order in which scenes are drawn, or every answer would be a wrong class', async () => {
    const labels = parseLabels(await readFile(`${folder}/labels.txt`, 'utf8'));
    expect(labels).toEqual(sceneClasses.map(({ label }) => label));
  });

  it('is at most 2 MB', async () => {
    expect((await stat(`${folder}/model.onnx`)).size).toBeLessThanOrEqual(2_000_000);
  });

  it('classifies held-out scenes, or drawing and training no longer match (the benchmark measures it fully)', async () => {
    const { accuracy, pass, confusion } = await run(['--count', '60']);
    expect(accuracy).toBeGreaterThanOrEqual(0.97);
    expect(pass).toBe(true);
    expect(confusion.map((row) => row.reduce((sum, count) => sum + count, 0)).every((count) => count >= 4)).toBe(true);
  });
});
