/** How a simulated node behaves; all of it may be changed while it runs. */
export interface Behaviour {
  /** Multiply-adds per ms. */
  speed: number;
  /** One way, ms. */
  delayMs: number;
  bytesPerMs: number;
  prepareMs: number;
  /** Bytes of waiting parts (inputs and outputs) that fit into its memory. */
  memoryBytes: number;
  /** Chances per tile. */
  errors: number;
  lost: number;
  duplicated: number;
  /** Chance that a message with regions for another node, or for central, is lost. */
  dropped: number;
  /** Chance and length of an additional delay of a result, which lets later ones overtake it. */
  reordered: number;
  reorderMs: number;
  /** Chance that a frame that was born there cannot be opened there. */
  unopened: number;
  /** Chance that a result is wrong in a way that only another computation shows. */
  lies: number;
  /** The times that it reports instead of the true ones. */
  claims: ((truth: { compute_ms: number; queue_ms: number }) => { compute_ms: number; queue_ms: number }) | undefined;
}

/** A node without faults. */
export const STEADY: Behaviour = {
  speed: 1e6,
  delayMs: 1,
  bytesPerMs: 1e5,
  prepareMs: 20,
  memoryBytes: Number.POSITIVE_INFINITY,
  errors: 0,
  lost: 0,
  duplicated: 0,
  dropped: 0,
  reordered: 0,
  reorderMs: 0,
  unopened: 0,
  lies: 0,
  claims: undefined,
};
