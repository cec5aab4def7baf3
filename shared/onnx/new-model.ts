import type { Graph, Model } from './model.ts';

const NOTHING = new Uint8Array(0);

/** What a model that no file holds is made of; operators are ONNX's own, of version `opset`. */
export interface ModelParts extends Omit<Graph, 'unknown'> {
  readonly producer: string;
  readonly opset?: number;
  readonly irVersion?: number;
}

/** A model of these parts, and of nothing else. */
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
