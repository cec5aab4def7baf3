import { describe, expect, it } from 'vitest';
import { guessCard, nameOfFile } from '../../../shared/model/guess.ts';
import type { GraphNode, Model } from '../../../shared/onnx/model.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { ints, node, sketch, weights } from '../onnx/build.ts';
import { missing, NETWORKS, networkBytes } from '../onnx/networks.ts';

type Shape = readonly (number | string)[];

/** A model with these inputs and outputs whose last operator is `last`; the operators between do not matter here. */
function shaped(
  input: Shape,
  outputs: Readonly<Record<string, Shape>>,
  last = 'Gemm',
  extra: Partial<Model> = {},
): Model {
  const nodes: GraphNode[] = Object.keys(outputs).map((name) => node(last, ['x'], [name]));
  const model = sketch({ nodes, inputs: { x: input }, outputs: Object.keys(outputs) });
  const withShapes = model.graph.outputs.map((output) => ({ ...output, shape: outputs[output.name] }));
  return { ...model, ...extra, graph: { ...model.graph, outputs: withShapes } };
}

describe('guessCard', () => {
  it('takes shapes, layout and softmax from the file and marks only the rest', () => {
    const { card, guessed } = guessCard(shaped(['N', 3, 224, 224], { y: ['N', 10] }, 'Softmax'), 'a/my net.onnx');
    expect(card).toMatchObject({
      name: 'my_net',
      model: 'my net.onnx',
      task: 'classify',
      input: { tensor: 'x', shape: [1, 3, 224, 224], layout: 'nchw', resize: 'crop' },
      output: { decoder: 'softmax' },
    });
    expect(guessed).toEqual(['input.color', 'input.scale', 'input.mean', 'input.std', 'input.resize']);
  });

  it('looks through reshapes for the softmax, and calls it logits where there is none', () => {
    const constants = [ints('axes', [1, 10]), weights('w', [10, 12])];
    const model = sketch({
      nodes: [
        node('Flatten', ['x'], ['f']),
        node('Gemm', ['f', 'w'], ['g'], { transB: 1 }),
        node('Softmax', ['g'], ['s']),
        node('Reshape', ['s', 'axes'], ['y']),
      ],
      inputs: { x: [1, 3, 2, 2] },
      outputs: ['y'],
      constants,
    });
    expect(guessCard(model, 'a.onnx').card.output.decoder).toBe('softmax');
    const { card, guessed } = guessCard(shaped([1, 3, 32, 32], { y: [1, 10] }), 'a.onnx');
    expect(card.output.decoder).toBe('logits');
    expect(guessed).toContain('output.decoder');
  });

  it('treats class 0 of 1001 as the background', () => {
    const { card, guessed } = guessCard(shaped([1, 3, 224, 224], { y: [1, 1001] }, 'Softmax'), 'a.onnx');
    expect(card.output.background).toBe(0);
    expect(guessed).toContain('output.background');
  });

  it.each<[string, Shape, Record<string, Shape>, object]>([
    [
      'channels last',
      [1, 96, 96, 3],
      { y: [1, 2] },
      { task: 'classify', input: { layout: 'nhwc', shape: [1, 96, 96, 3] } },
    ],
    ['grey digits', [1, 1, 28, 28], { y: [1, 10] }, { input: { color: 'gray', resize: 'stretch' } }],
    [
      'FastestDet',
      [1, 3, 352, 352],
      { y: [1, 85, 22, 22] },
      { task: 'detect', input: { color: 'bgr' }, output: { decoder: 'fastestdet' } },
    ],
    [
      'faces',
      [1, 3, 240, 320],
      { boxes: [1, 4420, 4], scores: [1, 4420, 2] },
      { task: 'detect', output: { decoder: 'ultraface', tensors: ['scores', 'boxes'] }, labels: ['face'] },
    ],
    [
      'YOLOv5',
      [1, 3, 640, 640],
      { y: [1, 25200, 85] },
      { task: 'detect', input: { resize: 'letterbox' }, output: { decoder: 'yolo' } },
    ],
    ['YOLOv8', [1, 3, 640, 640], { y: [1, 84, 8400] }, { task: 'detect', output: { decoder: 'yolo' } }],
    ['SSD', [1, 3, 300, 300], { b: [1, 8732, 4], s: [1, 8732, 81] }, { task: 'detect', output: { decoder: 'ssd' } }],
    [
      'SSD after suppression',
      [1, 300, 300, 3],
      { b: [1, 100, 4], c: [1, 100], s: [1, 100], n: [1] },
      { task: 'detect', output: { decoder: 'ssd' } },
    ],
    ['segments', [1, 3, 64, 64], { y: [1, 21, 64, 64] }, { task: 'segment' }],
    ['segments as class numbers', [1, 3, 64, 64], { y: [1, 64, 64] }, { task: 'segment' }],
    ['picture to picture', [1, 3, 64, 64], { y: [1, 3, 128, 128] }, { task: 'image' }],
    ['luma to luma of any size', [1, 1, 'H', 'W'], { y: [1, 1, 'H3', 'W3'] }, { task: 'image', input: { color: 'y' } }],
    ['a feature map', [1, 3, 64, 64], { y: [1, 512, 2, 2] }, { task: 'raw' }],
    ['no picture at all', [1, 40, 7], { y: [1, 2] }, { task: 'raw', output: { decoder: 'none' } }],
  ])('recognises %s', (_, input, outputs, expected) => {
    expect(guessCard(shaped(input, outputs), 'a.onnx').card).toMatchObject(expected);
  });

  it('leaves out a shape with open sizes unless the caller gives it', () => {
    const model = shaped(['N', 1, 'H', 'W'], { y: ['N', 1, 'H', 'W'] });
    expect(guessCard(model, 'a.onnx').card.input.shape).toBeUndefined();
    expect(guessCard(model, 'a.onnx', { inputShape: [1, 1, 40, 56] }).card.input.shape).toEqual([1, 1, 40, 56]);
  });

  it('infers the outputs where the file does not declare them', () => {
    const model = sketch({
      nodes: [node('GlobalAveragePool', ['x'], ['p']), node('Flatten', ['p'], ['y'])],
      inputs: { x: [1, 3, 32, 32] },
      outputs: ['y'],
    });
    expect(model.graph.outputs[0]!.shape).toBeUndefined();
    expect(guessCard(model, 'a.onnx').card.task).toBe('classify');
  });

  it('uses metadata: ONNX for pixels, Ultralytics for labels', () => {
    const metadata = new Map([
      ['Image.BitmapPixelFormat', 'Bgr8'],
      ['Image.NominalPixelRange', 'NominalRange_0_255'],
      ['names', `{0: 'cat', 2: "dog's"}`],
      ['license', 'AGPL-3.0'],
    ]);
    const { card, guessed } = guessCard(shaped([1, 3, 64, 64], { y: [1, 3] }, 'Softmax', { metadata }), 'a.onnx');
    expect(card).toMatchObject({
      license: 'AGPL-3.0',
      labels: ['cat', 'class 1', "dog's"],
      input: { color: 'bgr', scale: 1 },
    });
    expect(guessed).toEqual(['input.resize']);
  });

  it("knows the preprocessing of Caffe's networks", () => {
    const model = shaped([1, 3, 224, 224], { y: [1, 1000] }, 'Softmax', { producer: 'onnx-caffe2' });
    expect(guessCard(model, 'a.onnx').card.input).toMatchObject({ color: 'bgr', scale: 1, mean: [104, 117, 123] });
  });

  it('refuses a graph without inputs', () => {
    expect(() => guessCard(sketch({ nodes: [], inputs: {}, outputs: [] }), 'a.onnx')).toThrow(/no input/);
  });
});

describe('guessCard on published networks', () => {
  const tasks: Record<string, string> = {
    'FastestDet.onnx': 'detect fastestdet',
    'cifar10_resnet20.onnx': 'classify logits',
    'deeplabv3_mnv2_dm05.onnx': 'segment none',
    'mnist-8.onnx': 'classify logits',
    'mobilenet_v1_025_128.onnx': 'classify softmax',
    'mobilenet_v2.onnx': 'classify softmax',
    'person_vww_96.onnx': 'classify softmax',
    'squeezenet1.1.onnx': 'classify softmax',
    'super_resolution_x3.onnx': 'image none',
    'ultraface_rfb_320.onnx': 'detect ultraface',
  };
  for (const file of Object.keys(NETWORKS))
    it.skipIf(missing(file))(missing(file) || file, () => {
      const { card } = guessCard(readModel(networkBytes(file)), file);
      expect(`${card.task} ${card.output.decoder}`).toBe(tasks[file]);
    });
});

describe('nameOfFile', () => {
  it('makes a name that topics and folders accept', () => {
    expect(nameOfFile('/a/squeezenet1.1.onnx')).toBe('squeezenet1_1');
    expect(nameOfFile('C:\\nets\\Größe 3.ONNX')).toBe('Gr_e_3');
    expect(nameOfFile('...onnx')).toBe('model');
    expect(nameOfFile(`${'x'.repeat(100)}.onnx`)).toHaveLength(64);
  });
});
