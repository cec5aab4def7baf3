/** A tile to be placed. */
export interface Load {
  /** Multiply-adds. */
  readonly cost: number;
  /** Inputs and outputs, as they travel and as they lie in a node's memory. */
  readonly bytes: number;
}

/** A node that tiles can be placed on. */
export interface Place {
  /** s_k: cost per second. */
  readonly speed: number;
  /** What a message to it and back costs whatever its size, and for each byte. */
  readonly messageMs: number;
  readonly msPerByte: number;
  /** Time until it has done what it was asked before, ms. */
  readonly busyMs: number;
  /** Bytes that still fit into its memory; where nothing is asked of it, one tile is placed whatever its size. */
  readonly roomBytes: number;
}

/** Time that a tile adds to a node that is sent something anyway, ms. */
export function tileMs(tile: Load, place: Place): number {
  return (1000 * tile.cost) / place.speed + tile.bytes * place.msPerByte;
}

/**
 * ADCNN Algorithm 3: shares tiles among nodes so that the time of the last one, max x_k / s_k, is least, with x_k inside
 * node k's memory. Greedy: the next tile goes where it is done first; ties go to the lowest index. Optimal for equal
 * tiles; unequal ones go largest first (LPT, at most 4/3 of the optimum on equal nodes). Messages are written and read
 * one after another: each further node that is sent something has it `turnMs` later. Returns the node's index per tile,
 * -1 where no node has room. A node of speed 0 is used only where nobody else can.
 */
export function allocate(
  tiles: readonly Load[],
  places: readonly Place[],
  allowed: (tile: number, place: number) => boolean = () => true,
  turnMs = 0,
): number[] {
  const busy = places.map((place) => place.busyMs);
  const room = places.map((place) => place.roomBytes);
  const empty = places.map((place) => place.busyMs === 0);
  const isSent = places.map(() => false);
  let messages = 0;
  const chosen = new Array<number>(tiles.length).fill(-1);
  const order = tiles.map((_, t) => t).sort((a, b) => tiles[b]!.cost - tiles[a]!.cost || a - b);
  for (const t of order) {
    const tile = tiles[t]!;
    let best = -1;
    let bestMs = Number.POSITIVE_INFINITY;
    for (let k = 0; k < places.length; k++) {
      if (!allowed(t, k) || (tile.bytes > room[k]! && !empty[k])) continue;
      const opening = isSent[k]! ? 0 : places[k]!.messageMs + messages * turnMs;
      const doneMs = busy[k]! + opening + tileMs(tile, places[k]!);
      if (best === -1 || doneMs < bestMs) {
        best = k;
        bestMs = doneMs;
      }
    }
    if (best === -1) continue;
    chosen[t] = best;
    busy[best] = bestMs;
    room[best] = room[best]! - tile.bytes;
    empty[best] = false;
    if (!isSent[best]) messages++;
    isSent[best] = true;
  }
  return chosen;
}

/** Where all tiles of a frame go together: the node that would be done with them first; -1 where none may take them. */
export function allocateTogether(
  tiles: readonly Load[],
  places: readonly Place[],
  allowed: (tile: number, place: number) => boolean = () => true,
): number {
  const whole = tiles.reduce((sum, tile) => ({ cost: sum.cost + tile.cost, bytes: sum.bytes + tile.bytes }), {
    cost: 0,
    bytes: 0,
  });
  return allocate([whole], places, (_, k) => tiles.every((_tile, t) => allowed(t, k)))[0]!;
}
