import type { WireRegion } from '../shared/protocol/messages.ts';
import type { Executor, TileOutcome } from '../shared/runtime/executor-types.ts';
import type { DataPlane } from './assembly/data-plane.ts';
import type { PackedTile } from './assembly/frame-store.ts';
import type { Untimed } from './fleet.ts';

/** What a comparison rests on. */
export interface AuditedTilesParts {
  readonly executor: Executor;
  readonly data: DataPlane;
  readonly tell: (event: Untimed) => void;
}

interface Tile {
  readonly plan: string;
  readonly stage: number;
  readonly t_id: number;
}

interface Kept {
  readonly tile: Tile;
  readonly first: readonly WireRegion[];
  second: readonly WireRegion[];
  inputs: readonly PackedTile[];
}

/** Regions with bytes of their own: the frame's go to another thread, a message's belong to the MQTT client. */
function ownRegions(out: readonly WireRegion[]): WireRegion[] {
  return out.map((region) => ({ ...region, d: new Uint8Array(region.d) }));
}

/** Inputs and outputs of the tiles that are audited, which outlive their frames; carries out `compare` and `judge`. */
export class AuditedTiles {
  readonly #parts: AuditedTilesParts;
  readonly #kept = new Map<string, Kept>();

  constructor(parts: AuditedTilesParts) {
    this.#parts = parts;
  }

  begin(audit: string, tile: Tile, out: readonly WireRegion[]): void {
    this.#kept.set(audit, { tile, first: ownRegions(out), second: [], inputs: [] });
  }

  keepInputs(audit: string, tiles: readonly PackedTile[]): void {
    const kept = this.#kept.get(audit);
    if (kept === undefined) return;
    kept.inputs = tiles.map((tile) => ({ ...tile, in: ownRegions(tile.in) }));
  }

  forget(audit: string): void {
    this.#kept.delete(audit);
  }

  /** Compares the second result with the first. */
  async compare(audit: string, out: readonly WireRegion[]): Promise<void> {
    const { data, tell } = this.#parts;
    const kept = this.#kept.get(audit)!;
    kept.second = ownRegions(out);
    const agree = await data.agree(kept.tile, kept.first, kept.second).catch(() => null);
    tell({ type: 'compared', audit, agree });
  }

  /** Computes the tile here and compares both results with that. */
  async judge(audit: string): Promise<void> {
    const { data, executor, tell } = this.#parts;
    const { tile, first, second, inputs } = this.#kept.get(audit)!;
    const { plan, stage } = tile;
    let outcome: TileOutcome | undefined;
    try {
      await executor.run({ plan, i_id: audit, stage, tiles: inputs }, (one) => {
        outcome = one;
      });
      if (outcome === undefined || !('out' in outcome)) throw new Error('central could not compute it');
      const own = ownRegions(outcome.out);
      const [suspect, auditor] = [await data.agree(tile, own, first), await data.agree(tile, own, second)];
      tell({ type: 'judged', audit, said: { suspect: suspect === true, auditor: auditor === true } });
    } catch {
      tell({ type: 'judged', audit, said: null });
    }
  }
}
