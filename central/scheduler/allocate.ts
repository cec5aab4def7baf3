/** A part to be assigned. */
export interface Load {
  /** Multiply-adds. */
  readonly cost: number;
  /** Inputs and outputs, on the wire and in a node's memory. */
  readonly bytes: number;
}

/** A node that parts can be assigned to. */
export interface NodeCapacity {
  /** s_k: cost per second. */
  readonly speed: number;
  /** Time of a message there and back, and per byte. */
  readonly messageMs: number;
  readonly msPerByte: number;
  /** Time until it has done its earlier work, ms. */
  readonly busyMs: number;
  /** Bytes that still fit into its memory; an idle node takes one part whatever its size. */
  readonly roomBytes: number;
}

/** Time that a part adds to a message for a node, ms. */
export function partMs(part: Load, node: NodeCapacity): number {
  return (1000 * part.cost) / node.speed + part.bytes * node.msPerByte;
}

/**
 * ADCNN Algorithm 3: shares parts among nodes so that the time of the last one, max x_k / s_k, is least, with x_k
 * inside node k's memory. Greedy: the next part goes to the node that finishes it first; ties go to the lowest index.
 * Optimal for equal parts; unequal ones go largest first (LPT, at most 4/3 of the optimum on equal nodes). Messages are
 * written and read one after another, so each further node gets its message `turnMs` later. Returns the node's index
 * per part, -1 where no node has room. A node of speed 0 is used only where no other can be.
 */
export function allocate(
  parts: readonly Load[],
  nodes: readonly NodeCapacity[],
  allowed: (part: number, node: number) => boolean = () => true,
  turnMs = 0,
): number[] {
  const busy = nodes.map((node) => node.busyMs);
  const room = nodes.map((node) => node.roomBytes);
  const empty = nodes.map((node) => node.busyMs === 0);
  const isSent = nodes.map(() => false);
  let messages = 0;
  const chosen = new Array<number>(parts.length).fill(-1);
  const order = parts.map((_, t) => t).sort((a, b) => parts[b]!.cost - parts[a]!.cost || a - b);
  for (const t of order) {
    const part = parts[t]!;
    let best = -1;
    let bestMs = Number.POSITIVE_INFINITY;
    for (let k = 0; k < nodes.length; k++) {
      if (part.bytes > room[k]! && !empty[k]) continue;
      const opening = isSent[k]! ? 0 : nodes[k]!.messageMs + messages * turnMs;
      const doneMs = busy[k]! + opening + partMs(part, nodes[k]!);
      if ((best !== -1 && doneMs >= bestMs) || !allowed(t, k)) continue;
      best = k;
      bestMs = doneMs;
    }
    if (best === -1) continue;
    chosen[t] = best;
    busy[best] = bestMs;
    room[best] = room[best]! - part.bytes;
    empty[best] = false;
    if (!isSent[best]) messages++;
    isSent[best] = true;
  }
  return chosen;
}

/** The node that would finish all parts together first; -1 where no node may take them all. */
export function allocateTogether(
  parts: readonly Load[],
  nodes: readonly NodeCapacity[],
  allowed: (part: number, node: number) => boolean = () => true,
): number {
  const whole = parts.reduce((sum, part) => ({ cost: sum.cost + part.cost, bytes: sum.bytes + part.bytes }), {
    cost: 0,
    bytes: 0,
  });
  return allocate([whole], nodes, (_, k) => parts.every((_part, t) => allowed(t, k)))[0]!;
}
