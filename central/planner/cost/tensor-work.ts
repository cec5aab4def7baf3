import { CENTRAL } from '../../../shared/plan/plan.ts';
import type { PlanningNode, Problem } from '../strategy.ts';

/** A tensor's region on its way: bytes of its values, and the codec. */
interface Moved {
  readonly values: number;
  readonly codec: string;
}

/** Where a region goes; `isAnswer`: only the network's user needs it. */
interface Way {
  readonly from: string;
  readonly to: string;
  readonly isFrame: boolean;
  readonly isAnswer: boolean;
}

/**
 * What machines do with tensors besides computing, ms: handing parts over to the thread that computes, encoding, decoding.
 * All of central's tensors are in its data plane, from which parts at central get them as nodes do. What was not measured
 * takes no time.
 */
export class TensorWork {
  readonly #nodes: ReadonlyMap<string, PlanningNode>;

  constructor({ nodes }: Pick<Problem, 'nodes'>) {
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
  }

  /** Whether central's work is known. */
  get isKnown(): boolean {
    return this.#nodes.get(CENTRAL)?.codec_ms !== undefined;
  }

  /** Handing a part over, and its outcome back. */
  partMs(node: string): number {
    return this.#nodes.get(node)?.part_ms ?? 0;
  }

  /** What the part that made a region does to send it: nothing where it stays at its node. */
  encodeMs({ values, codec }: Moved, from: string, to: string): number {
    return from === to && from !== CENTRAL ? 0 : this.#codecMs(from, codec, 'encode', values);
  }

  /** What the part that reads a region does. */
  decodeMs({ values, codec }: Moved, from: string, to: string): number {
    if (from === to && from !== CENTRAL) return 0;
    return this.#codecMs(to, to === CENTRAL ? 'raw' : codec, 'decode', values);
  }

  /** What central's data plane does: it decodes what comes, and encodes what parts need. */
  dataMs({ values, codec }: Moved, { from, to, isFrame, isAnswer }: Way): number {
    const comes = (from === CENTRAL || to === CENTRAL) && !isFrame;
    const goes = (from === CENTRAL || to === CENTRAL) && !isAnswer;
    const inMs = comes ? this.partMs(CENTRAL) + this.#codecMs(CENTRAL, codec, 'decode', values) : 0;
    const outCodec = from === CENTRAL && to !== CENTRAL ? codec : 'raw';
    return inMs + (goes ? this.partMs(CENTRAL) + this.#codecMs(CENTRAL, outCodec, 'encode', values) : 0);
  }

  #codecMs(node: string, codec: string, what: 'encode' | 'decode', values: number): number {
    return ((this.#nodes.get(node)?.codec_ms?.[codec]?.[what] ?? 0) * values) / 1e6;
  }
}
