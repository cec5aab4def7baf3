import type { Graph, Model } from './model.ts';

const NOTHING = new Uint8Array(0);

/**
 * The parts of a model that is made by code and not read from a file. All operators are of ONNX's default set, version
 * `opset`.
 */
export interface ModelParts extends Omit<Graph, 'unknown'> {
  readonly producer: string;
  readonly opset?: number;
  readonly irVersion?: number;
}

/** Makes a model of these parts. */
export function newModel({ producer, opset = 17, irVersion = 8, ...graph }: ModelParts): Model {
  return {
    irVersion,
    producer,
    opsets: new Map([['', opset]]),
    metadata: new Map(),
    graph: { ...graph, unknown: NOTHING },
    unknown: NOTHING,
  };
}
