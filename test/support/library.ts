import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { writeModel } from '../../shared/onnx/write.ts';
import { node, sketch } from '../shared/onnx/build.ts';

/** An ONNX file of a network that gives two classes for a picture [1, 3, 8, 8]; `opset` makes files that differ. */
export function onnxFile(shape: readonly (number | string)[] = ['N', 3, 8, 8], opset = 13): Uint8Array {
  const nodes = [
    node('GlobalAveragePool', ['x'], ['p']),
    node('Flatten', ['p'], ['f']),
    node('Softmax', ['f'], ['y'], { axis: 1 }),
  ];
  const model = sketch({ nodes, inputs: { x: shape }, outputs: ['y'], opset });
  const output = { name: 'y', dtype: 'float32', elementType: 1, shape: ['N', 3] } as const;
  return writeModel({ ...model, graph: { ...model.graph, outputs: [output] } });
}

/** A new folder with these files, removed after the test; paths are relative to it. */
export async function folderWith(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-models-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}
