import fc from 'fast-check';
import { parseProfile } from '../../central/planner/profile/parse.ts';
import type { Profile } from '../../central/planner/profile/schema.ts';
import type { Tier } from '../../shared/plan/plan.ts';

/** What random profiles are like. */
export interface RandomOptions {
  readonly layers: number;
  readonly tiers: readonly Tier[];
  /** Whether each layer reads the one before it alone. */
  readonly chain?: boolean;
  /** Whether several blocks as one take another time than their sum, and some runs were measured. */
  readonly together?: boolean;
  /** Whether links may be missing and the outputs be needed at a node. */
  readonly odd?: boolean;
}

/** Typical times of a layer on the tiers, ms. */
const TYPICAL: Readonly<Record<Tier, number>> = { device: 20, edge: 10, cloud: 5 };

/**
 * Profiles of random networks of at most so many layers, each a block, on one machine for each of the tiers. Frames are
 * born at the first. Times differ by layer and machine, sizes and links by orders of magnitude.
 */
export function randomProfiles({
  layers,
  tiers,
  chain = false,
  together = false,
  odd = false,
}: RandomOptions): fc.Arbitrary<Profile> {
  const share = fc.noBias(fc.integer({ min: 0, max: 999_999 })).map((x) => x / 1e6);
  const magnitude = (least: number, most: number) => share.map((x) => least * (most / least) ** x);
  const ids = tiers.map((tier, index) => `${tier}-${index}`);
  const layer = fc.record({
    reads: fc.array(share, { minLength: 1, maxLength: 3 }),
    readsFrame: share.map((x) => !chain && x < 0.1),
    bytes: magnitude(1e3, 1e6),
    factors: fc.array(magnitude(0.1, 10), { minLength: ids.length, maxLength: ids.length }),
  });
  const pairs = ids.flatMap((from, a) => ids.flatMap((to, b) => (a === b ? [] : [{ from, to }])));
  return fc
    .record({
      layers: fc.array(layer, { minLength: 1, maxLength: layers }),
      links: fc.array(
        fc.record({ rtt_ms: magnitude(0.1, 20), mbps: magnitude(10, 1000), isThere: share.map((x) => x < 0.8) }),
        {
          minLength: pairs.length,
          maxLength: pairs.length,
        },
      ),
      input_bytes: magnitude(1e3, 1e6),
      ratio: magnitude(0.5, 1),
      runs: fc.array(fc.record({ ends: fc.tuple(share, share), ms: magnitude(1, 100) }), { maxLength: 3 }),
      sink: fc.option(fc.constantFrom(...ids), { nil: undefined }),
    })
    .map(({ layers: drawn, links, input_bytes, sink, ratio, runs }) => {
      const inputs = drawn.map(({ reads, readsFrame }, v) => {
        if (v === 0) return ['frame'];
        const before = chain ? [v - 1] : reads.map((x) => Math.min(v - 1, Math.floor(x * v)));
        return [...new Set([...(readsFrame ? ['frame'] : []), ...before.map((u) => `t${u}`)])];
      });
      const live = (v: number): string[] =>
        inputs.flatMap((_, u) => {
          const readers = inputs.flatMap((names, reader) => (names.includes(`t${u}`) ? [reader] : []));
          return u <= v && (readers.length === 0 || readers.some((reader) => reader > v)) ? [`t${u}`] : [];
        });
      const rangeOf = (ends: readonly number[]): number[] => {
        const [first, last] = ends.map((x) => Math.floor(x * drawn.length)).sort((a, b) => a - b);
        return first === last ? [Math.max(0, first! - 1), Math.max(1, last!)] : [first!, last!];
      };
      return parseProfile({
        format: 'tessera-profile/1',
        model: 'random',
        sha256: 'c'.repeat(64),
        input_bytes,
        source: ids[0],
        ...(odd && sink !== undefined ? { sink } : {}),
        layers: drawn.map(({ bytes }, v) => ({
          name: `layer ${v}`,
          op: 'Conv',
          macs: 1,
          inputs: inputs[v],
          outputs: [{ name: `t${v}`, bytes }],
        })),
        blocks: drawn.map(({ bytes }, v) => ({ name: `b${v}`, output_bytes: bytes, cut: live(v), layers: [v, v] })),
        nodes: ids.map((id, m) => ({
          id,
          tier: tiers[m],
          block_ms: drawn.map(({ factors }) => TYPICAL[tiers[m]!] * factors[m]!),
          ...(together && drawn.length > 1
            ? { runs: runs.map(({ ends, ms }) => ({ blocks: rangeOf(ends), ms })) }
            : {}),
        })),
        ...(together ? { correction: { ratio, error: 0 } } : {}),
        links: links.flatMap(({ isThere, ...link }, index) => (odd && !isThere ? [] : [{ ...pairs[index], ...link }])),
      });
    });
}
