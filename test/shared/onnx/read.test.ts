import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import type { Model } from '../../../shared/onnx/model.ts';
import { fields, MessageWriter } from '../../../shared/onnx/protobuf.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { readTensor } from '../../../shared/onnx/tensor-proto.ts';
import { numbersOf } from '../../../shared/onnx/values.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { type ints, node, sketch, weights } from './build.ts';

const relu = sketch({ nodes: [node('Relu', ['x'], ['y'])], inputs: { x: [1, 2] }, outputs: ['y'] });

function failure(action: () => unknown): TesseraError {
  try {
    action();
  } catch (error) {
    if (error instanceof TesseraError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

function refusal(model: Model): string {
  const { code, message, hint } = failure(() => readModel(writeModel(model)));
  expect(code).toBe('TESSERA_MODEL_INVALID');
  expect(hint).toBeTruthy();
  return message;
}

/** A model around one hand-encoded TensorProto. */
function holding(tensor: MessageWriter): Uint8Array {
  const graph = new MessageWriter().message(5, tensor).encoded(graphOf(relu));
  return new MessageWriter().varint(1, 8).message(7, graph).finish();
}

function graphOf(model: Model): Uint8Array {
  for (const field of fields(writeModel(model))) if (field.number === 7) return field.payload;
  throw new Error('no graph');
}

const bytesOf = (values: readonly number[]) => new Uint8Array(new Float32Array(values).buffer);

describe('files that are no models are refused with their kind, so that users know what to do', () => {
  test.each([
    ['empty', '', 'empty'],
    ['a page of a failed download', '<!DOCTYPE html>', 'web page'],
    ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid', 'Git LFS'],
    ['a PyTorch checkpoint', 'PK\x03\x04', 'zip archive'],
    ['TensorFlow Lite', '\x1c\0\0\0TFL3', 'TensorFlow Lite'],
    ['text', 'hello', 'not a readable ONNX model'],
  ])('%s', (_, start, said) => {
    const { code, message, hint } = failure(() => readModel(new TextEncoder().encode(start)));
    expect(code).toBe('TESSERA_MODEL_INVALID');
    expect(message).toContain(said);
    expect(hint).toBeTruthy();
  });

  test('a model without a graph', () => {
    expect(failure(() => readModel(new MessageWriter().varint(1, 8).finish())).message).toContain('holds no graph');
  });

  test('a file that was cut short', () => {
    const bytes = writeModel(relu);
    expect(failure(() => readModel(bytes.subarray(0, bytes.length - 20))).code).toBe('TESSERA_MODEL_INVALID');
  });
});

describe('graphs that no runtime could run are refused by name', () => {
  const inputs = { x: [1, 2] };
  test('a cycle', () => {
    const nodes = [node('Add', ['x', 'b'], ['a']), node('Relu', ['a'], ['b'])];
    expect(refusal(sketch({ nodes, inputs, outputs: ['b'] }))).toContain('cycle');
  });
  test('a tensor made twice', () => {
    const nodes = [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['y'])];
    expect(refusal(sketch({ nodes, inputs, outputs: ['y'] }))).toContain('"y" is made twice');
  });
  test('a tensor that nothing makes', () => {
    expect(refusal(sketch({ nodes: [node('Relu', ['ghost'], ['y'])], inputs, outputs: ['y'] }))).toContain('"ghost"');
    expect(refusal(sketch({ nodes: [], inputs, outputs: ['ghost'] }))).toContain('"ghost"');
  });
  test('an input named twice', () => {
    const twice = { ...relu, graph: { ...relu.graph, inputs: [...relu.graph.inputs, ...relu.graph.inputs] } };
    expect(refusal(twice)).toContain('declared twice');
  });
});

test('nodes out of order are sorted, so that later code can rely on topological order', () => {
  const nodes = [node('Add', ['a', 'b'], ['y']), node('Relu', ['a'], ['b']), node('Neg', ['x'], ['a'])];
  const model = readModel(writeModel(sketch({ nodes, inputs: { x: [2] }, outputs: ['y'] })));
  expect(model.graph.nodes.map(({ op }) => op)).toEqual(['Neg', 'Relu', 'Add']);
});

test('a chain of a hundred thousand nodes in reverse order exhausts no stack', () => {
  const count = 100_000;
  const nodes = Array.from({ length: count }, (_, i) => node('Relu', [`t${count - i - 1}`], [`t${count - i}`]));
  const model = readModel(writeModel(sketch({ nodes, inputs: { t0: [1] }, outputs: [`t${count}`] })));
  expect(model.graph.nodes[0]?.inputs).toEqual(['t0']);
});

describe('constants', () => {
  const tensor = (type: number, dims: readonly number[]) => new MessageWriter().packedVarints(1, dims).varint(2, type);
  const values = (message: MessageWriter) => numbersOf(readTensor(message.finish()));

  test('every typed field reads as raw data would', () => {
    expect(values(tensor(1, [2]).bytes(4, bytesOf([1.5, -2])))).toEqual([1.5, -2]);
    expect(values(tensor(6, [3]).packedVarints(5, [1, -2, 3]))).toEqual([1, -2, 3]);
    expect(values(tensor(3, [2]).packedVarints(5, [-128, 127]))).toEqual([-128, 127]);
    expect(values(tensor(2, [2]).packedVarints(5, [0, 255]))).toEqual([0, 255]);
    expect(values(tensor(4, [1]).packedVarints(5, [65535]))).toEqual([65535]);
    expect(values(tensor(9, [2]).packedVarints(5, [1, 0]))).toEqual([1, 0]);
    expect(values(tensor(7, [2]).packedVarints(7, [-1, 2 ** 40]))).toEqual([-1, 2 ** 40]);
    expect(values(tensor(12, [1]).packedVarints(11, [2 ** 32 - 1]))).toEqual([2 ** 32 - 1]);
    expect(values(tensor(11, [1]).bytes(10, new Uint8Array(new Float64Array([0.1]).buffer)))).toEqual([0.1]);
    expect(values(tensor(1, []).float(4, 0.5))).toEqual([0.5]);
  });

  test('half precision keeps its bits: int32_data holds them in its low half', () => {
    const half = readTensor(tensor(10, [2]).packedVarints(5, [0x3c00, 0xc000]).finish());
    expect(half.data).toEqual({ kind: 'inline', bytes: Uint8Array.of(0x00, 0x3c, 0x00, 0xc0) });
  });

  test('raw data stays a view of the file: a model of 500 MB must not be copied', () => {
    const file = writeModel(sketch({ ...emptyOf(weights('w', [64, 64])) }));
    const read = readModel(file).graph.initializers.get('w')!;
    expect(read.data.kind === 'inline' && read.data.bytes.buffer === file.buffer).toBe(true);
  });

  test.each([
    ['fewer bytes than the shape needs', tensor(1, [3]).bytes(9, new Uint8Array(8)), 'needs 12'],
    ['a negative dimension', tensor(1, [-1]).bytes(9, new Uint8Array(4)), 'negative'],
    ['dimensions whose product overflows', tensor(1, [2 ** 40, 2 ** 40]).bytes(9, new Uint8Array(4)), 'absurd'],
    ['dimensions of terabytes', tensor(1, [2 ** 20, 2 ** 20]), 'needs 4398046511104'],
    ['an element type that does not exist', tensor(99, [1]).bytes(9, new Uint8Array(4)), 'element type 99'],
  ])('%s is refused without allocating', (_, message, said) => {
    expect(failure(() => readModel(holding(message))).message).toContain(said);
  });

  test.each(['/etc/passwd', '../secret', 'a/../../b', 'C:\\x', '\\\\host\\x', '', '*/_ORT_MEM_ADDR_/*'])(
    'external data at "%s" is refused: a model file must not read what is not its own',
    (location) => {
      const entry = new MessageWriter().text(1, 'location').text(2, location);
      const message = tensor(1, [1]).message(13, entry).varint(14, 1);
      expect(failure(() => readModel(holding(message))).message).toContain('not a file beside the model');
    },
  );

  test('external data has file and offset, and the length from the shape where the file has none', () => {
    const entry = (key: string, value: string) => new MessageWriter().text(1, key).text(2, value);
    const message = tensor(1, [2, 3]).message(13, entry('location', 'w.bin')).message(13, entry('offset', '4096'));
    const read = readTensor(message.varint(14, 1).finish());
    expect(read.data).toEqual({ kind: 'external', location: 'w.bin', offset: 4096, length: 24 });
  });
});

test('an input with an initializer of the same name need not be fed', () => {
  const w = weights('w', [1, 2]);
  const model = sketch({
    nodes: [node('Add', ['x', 'w'], ['y'])],
    inputs: { x: [1, 2], w: [1, 2] },
    outputs: ['y'],
    constants: [w],
  });
  expect(readModel(writeModel(model)).graph.inputs.map(({ name }) => name)).toEqual(['x']);
});

test('deeply nested subgraphs are refused instead of exhausting the stack', () => {
  let graph = new MessageWriter().text(2, 'innermost');
  for (let depth = 0; depth < 1000; depth++) {
    const attribute = new MessageWriter().text(1, 'body').message(6, graph).varint(20, 5);
    const body = new MessageWriter().text(4, 'Loop').message(5, attribute);
    graph = new MessageWriter().message(1, body);
  }
  const file = new MessageWriter().varint(1, 8).message(7, graph).finish();
  expect(failure(() => readModel(file)).message).toContain('nested');
});

test('tensors that only a subgraph reads keep their maker before the node', () => {
  const inner = new MessageWriter().message(1, new MessageWriter().text(1, 'late').text(2, 'out').text(4, 'Neg'));
  const branch = new MessageWriter()
    .text(1, 'then_branch')
    .message(6, inner.message(12, new MessageWriter().text(1, 'out')))
    .varint(20, 5);
  const choice = node('If', ['x'], ['y'], { then_branch: { kind: 'other', bytes: branch.finish() } });
  const model = sketch({ nodes: [choice, node('Relu', ['x'], ['late'])], inputs: { x: [1] }, outputs: ['y'] });
  expect(readModel(writeModel(model)).graph.nodes.map(({ op }) => op)).toEqual(['Relu', 'If']);
});

function emptyOf(tensor: ReturnType<typeof ints>) {
  return { nodes: [node('Add', ['x', tensor.name], ['y'])], inputs: { x: [1] }, outputs: ['y'], constants: [tensor] };
}
