import type { Executor, PartOutcome } from '../shared/node/executor-types.ts';
import type { PackedPart } from '../shared/node/tensor-store.ts';
import type { WireRegion } from '../shared/protocol/messages/region.ts';
import type { UntimedEvent } from './coordinator/events.ts';
import type { DataPlane } from './data-plane/data-plane.ts';
import { perturbed } from './data-plane/perturbed.ts';

/** What audits need. */
export interface AuditedPartsDeps {
  readonly executor: Pick<Executor, 'run'>;
  readonly data: Pick<DataPlane, 'agree'>;
  readonly tell: (event: UntimedEvent) => void;
}

interface PartAddress {
  readonly plan: string;
  readonly stage: number;
  readonly t_id: number;
}

interface Kept {
  readonly part: PartAddress;
  readonly first: readonly WireRegion[];
  second: readonly WireRegion[];
  inputs: readonly PackedPart[];
  /** Whether the second result is central's own. */
  isOwn: boolean;
}

/**
 * Regions in new buffers: those of the frame are transferred to another thread, those of a message belong to the MQTT
 * client.
 */
function ownRegions(out: readonly WireRegion[]): WireRegion[] {
  return out.map((region) => ({ ...region, d: new Uint8Array(region.d) }));
}

/** Inputs and outputs of audited parts, which outlive their frames; carries out the effects `compare` and `judge`. */
export class AuditedParts {
  readonly #deps: AuditedPartsDeps;
  readonly #kept = new Map<string, Kept>();

  constructor(deps: AuditedPartsDeps) {
    this.#deps = deps;
  }

  begin(audit: string, part: PartAddress, out: readonly WireRegion[]): void {
    this.#kept.set(audit, { part, first: ownRegions(out), second: [], inputs: [], isOwn: false });
  }

  /** Stores the inputs of the second result; `isOwn`: central itself computes it. */
  keepInputs(audit: string, tiles: readonly PackedPart[], isOwn: boolean): void {
    const kept = this.#kept.get(audit);
    if (kept === undefined) return;
    kept.isOwn = isOwn;
    kept.inputs = tiles.map((tile) => ({ ...tile, in: ownRegions(tile.in) }));
  }

  forget(audit: string): void {
    this.#kept.delete(audit);
  }

  /** Compares the second result with the first. */
  async compare(audit: string, out: readonly WireRegion[]): Promise<void> {
    const { data, tell } = this.#deps;
    const kept = this.#kept.get(audit)!;
    kept.second = ownRegions(out);
    const { part, first, second, isOwn } = kept;
    let agree: boolean | null;
    try {
      agree = await data.agree(part, first, second);
      if (agree === false && isOwn)
        agree = await data.agree(part, second, first, await this.#run(audit, kept, perturbed));
    } catch {
      agree = null;
    }
    tell({ type: 'compared', audit, agree });
  }

  /** Computes the part on central and compares both results with that. */
  async judge(audit: string): Promise<void> {
    const { data, tell } = this.#deps;
    const kept = this.#kept.get(audit)!;
    const { part, first, second } = kept;
    try {
      const own = await this.#run(audit, kept, ownRegions);
      const moved = await this.#run(audit, kept, perturbed);
      const [suspect, auditor] = [
        await data.agree(part, own, first, moved),
        await data.agree(part, own, second, moved),
      ];
      tell({ type: 'judged', audit, said: { suspect: suspect === true, auditor: auditor === true } });
    } catch {
      tell({ type: 'judged', audit, said: null });
    }
  }

  /** Computes the part on central, from the stored inputs changed by `of`. */
  async #run(
    audit: string,
    { part, inputs }: Kept,
    of: (regions: readonly WireRegion[]) => WireRegion[],
  ): Promise<WireRegion[]> {
    const { plan, stage } = part;
    const tiles = inputs.map((input) => ({ ...input, in: of(input.in) }));
    let outcome: PartOutcome | undefined;
    await this.#deps.executor.run({ plan, i_id: audit, stage, batchBytes: 0, tiles }, (one) => {
      outcome = one;
    });
    if (outcome === undefined || !('out' in outcome)) throw new Error('central could not compute the part');
    return ownRegions(outcome.out);
  }
}
