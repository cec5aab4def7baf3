import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { MessageWriter } from '../../../shared/onnx/protobuf.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { float, node, sketch } from './build.ts';
import { feedsOf, largestDifference, missing, NETWORKS, network, networkBytes, run, TOPOLOGIES } from './networks.ts';

describe('real networks survive reading and writing', () => {
  for (const name of [...Object.keys(NETWORKS), ...TOPOLOGIES]) {
    test.skipIf(missing(name))(`${name} reads the same after writing ${missing(name) || ''}`, () => {
      const model = readModel(networkBytes(name));
      const again = readModel(writeModel(model));
      // Not toEqual: it compares 14 MB of weights one number at a time.
      expect(isDeepStrictEqual({ ...again, irVersion: model.irVersion }, model)).toBe(true);
    });
  }

  for (const name of Object.keys(NETWORKS)) {
    test.skipIf(missing(name))(`${name} computes the same ${missing(name) || ''}`, async () => {
      const file = networkBytes(name);
      const feeds = feedsOf(network(name), (i) => Math.sin(i) * 2);
      const expected = await run(file, feeds);
      const written = await run(writeModel(readModel(file)), feeds);
      const resolved = await run(writeModel(network(name).model), feeds);
      // Its weights are overridable inputs, so the runtime fuses batch normalisation only once they are constants.
      const limit = name === 'ultraface_rfb_320.onnx' ? 1e-5 : 0;
      for (const [output, tensor] of Object.entries(expected)) {
        expect([written[output]?.dims, resolved[output]?.dims]).toEqual([tensor.dims, tensor.dims]);
        expect(largestDifference(written[output]!, tensor)).toBeLessThanOrEqual(limit);
        expect(largestDifference(resolved[output]!, tensor)).toBeLessThanOrEqual(limit);
      }
    });
  }
});

test('uninterpreted fields of file, graph, node, attributes and types are kept', () => {
  const base = sketch({
    nodes: [
      {
        ...node('Foo', ['x'], ['y'], {
          text: 'ä',
          numbers: [1, -2, 2 ** 63],
          fraction: float(0.1),
          none: [],
          rest: { kind: 'other', bytes: new MessageWriter().text(1, 'rest').varint(20, 99).finish() },
        }),
        domain: 'my.domain',
        unknown: new MessageWriter().text(6, 'doc').finish(),
      },
    ],
    inputs: { x: [1, 'H', ''], s: undefined },
    outputs: ['y'],
  });
  const sequence = {
    name: 'list',
    dtype: 'other',
    elementType: 0,
    shape: undefined,
    type: Uint8Array.of(0x22, 0),
  } as const;
  const model = {
    ...base,
    metadata: new Map([['author', 'somebody']]),
    opsets: new Map([
      ['', 13],
      ['my.domain', 2],
    ]),
    unknown: new MessageWriter().text(6, 'about').varint(5, 7).finish(),
    graph: {
      ...base.graph,
      inputs: [...base.graph.inputs, sequence],
      unknown: new MessageWriter().text(10, 'g').finish(),
    },
  };
  const again = readModel(writeModel(model));
  const fraction = again.graph.nodes[0]?.attributes.get('fraction');
  expect(fraction).toEqual(float(Math.fround(0.1)));
  expect({ ...again, graph: { ...again.graph, nodes: [] } }).toEqual({
    ...model,
    graph: { ...model.graph, nodes: [] },
  });
  const [first] = again.graph.nodes;
  expect({ ...first, attributes: null }).toEqual({ ...model.graph.nodes[0], attributes: null });
  for (const [name, attribute] of model.graph.nodes[0]!.attributes) {
    if (name !== 'fraction') expect([name, first?.attributes.get(name)]).toEqual([name, attribute]);
  }
});

test('writing allocates little more than the file', () => {
  const bytes = new Uint8Array(64_000_000).fill(1);
  const dims = [16_000_000];
  const big = { name: 'w', dtype: 'float32', elementType: 1, dims, data: { kind: 'inline', bytes } } as const;
  const nodes = [node('Add', ['x', 'w'], ['y'])];
  const model = sketch({ nodes, inputs: { x: [1] }, outputs: ['y'], constants: [big] });
  const before = process.memoryUsage().arrayBuffers;
  const file = writeModel(model);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(file.length * 1.25);
});
