import type { CodecSpec } from '../../shared/codec/spec.ts';
import { ZOO, type ZooNetwork } from '../zoo/networks.ts';
import { type Draft, evenSizes, fdsp, slices, whole } from './plans.ts';

/** A network of the experiments, with the plan that serves it. */
export interface ClusterNetwork {
  readonly zoo: ZooNetwork;
  /** Its plan for so many nodes. */
  readonly plan: (nodes: number) => readonly Draft[];
  /** Where the accuracy of this form of plan stands; weights here are seeded. */
  readonly accuracy: string;
}

const SEEDED = 'none: seeded weights; docs/retraining.md has networks that were retrained for tiles without halo';

/**
 * ADCNN's codec of 4 bits. The bounds are about the quantiles of 75 and 99.9 % of the map in the seeded network, so that
 * as many codes are zero as in those that were retrained.
 */
const clip = (a: number, b: number): CodecSpec => ({ name: 'clip', a, b, bits: 4 });

/** The networks by the names of `--model`. The table names the plan of each. */
export const NETWORKS: Readonly<Record<string, ClusterNetwork>> = {
  vgg16: {
    zoo: ZOO.get('vgg-16')!,
    /** Strips of the maps before the dense layers, the first dense layer in slices, the others at central. */
    plan: (nodes) => [
      fdsp(['input'], 'maxpool_31', evenSizes(7, nodes), [7], clip(0.2, 1)),
      slices('maxpool_31', 'relu_34', 4096, nodes, clip(0.2, 1)),
      whole(['relu_34'], ['gemm_37']),
    ],
    accuracy: SEEDED,
  },
};
