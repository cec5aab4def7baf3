import { readFile, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { run } from '../../bench/scene-accuracy.ts';
import { sceneClasses } from '../../cli/demo/objects.ts';
import { parseLabels } from '../../shared/model/labels.ts';

const folder = 'config/models/scenes';

describe('the bundled model', () => {
  it('names its outputs in the order that scenes are drawn in, or every answer would be another class', async () => {
    const labels = parseLabels(await readFile(`${folder}/labels.txt`, 'utf8'));
    expect(labels).toEqual(sceneClasses.map(({ label }) => label));
  });

  it('is at most 2 MB', async () => {
    expect((await stat(`${folder}/model.onnx`)).size).toBeLessThanOrEqual(2_000_000);
  });

  it('knows held-out scenes, or drawing and training have drifted apart (the whole proof is the benchmark)', async () => {
    const { accuracy, pass, confusion } = await run(['--count', '60']);
    expect(accuracy).toBeGreaterThanOrEqual(0.97);
    expect(pass).toBe(true);
    expect(confusion.map((row) => row.reduce((sum, count) => sum + count, 0)).every((count) => count >= 4)).toBe(true);
  });
});
