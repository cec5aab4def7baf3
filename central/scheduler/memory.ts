/** How many bytes of unanswered parts (inputs and outputs) central believes to fit into a node's memory. */
export interface MemoryBelief {
  /** What the node announced; infinite where it announced nothing. */
  readonly announced: number;
  /** What is believed now. */
  bytes: number;
  /** When the belief last changed, ms. */
  changed_at: number;
}

/** The belief grows by this factor after `AGAIN_MS` without a change. */
const GROWTH = 1.25;
const AGAIN_MS = 30_000;

/** What a node announces is believed until the node runs out of memory. */
export function newMemory(announced = Number.POSITIVE_INFINITY): MemoryBelief {
  return { announced, bytes: announced, changed_at: Number.NEGATIVE_INFINITY };
}

/**
 * A node ran out of memory while `heldBytes` were assigned to it, `partBytes` of them for the part that failed: half of
 * that is believed to fit, and one part in any case. Several parts of work that was assigned before the last change
 * (`assignedAt`) tell nothing new.
 */
export function noteOutOfMemory(
  memory: MemoryBelief,
  { heldBytes, partBytes, assignedAt }: { heldBytes: number; partBytes: number; assignedAt: number },
  now: number,
): void {
  if (assignedAt < memory.changed_at) return;
  memory.bytes = Math.min(memory.bytes, Math.max(partBytes, Math.min(memory.bytes, heldBytes) / 2));
  memory.changed_at = now;
}

/** A node did a part: what ran the node out of memory before may be gone, so a little more is tried after a while. */
export function noteEnoughMemory(memory: MemoryBelief, now: number): void {
  if (memory.bytes >= memory.announced || now - memory.changed_at < AGAIN_MS) return;
  memory.bytes = Math.min(memory.announced, GROWTH * memory.bytes);
  memory.changed_at = now;
}
