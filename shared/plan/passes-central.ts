import type { SchedulablePlan } from './compiled-plan.ts';

/** What one more message costs its sender, the broker and its receiver, as bytes of a link: 0.4 ms at 100 Mbps. */
const MESSAGE_BYTES = 5000;

/**
 * Whether a tensor passes central although nodes read it. Where each of many parts reads what each of many others makes,
 * as slices of a dense layer read tiles, straight ways take a message for each pair of parts. By way of central no
 * message is added, because results and work take the regions along.
 */
export function passesCentral({ stages }: Pick<SchedulablePlan, 'stages'>, tensor: string): boolean {
  const parts = stages.flatMap((stage) => stage.parts);
  const bytesOf = (regions: readonly { readonly tensor: string; readonly bytes: number }[]): number[] =>
    regions.filter((region) => region.tensor === tensor).map(({ bytes }) => bytes);
  const made = parts.flatMap(({ out }) => bytesOf(out));
  const reads = parts.map(({ links }) => bytesOf(links));
  // A part runs where most of its input is made, and that does not move.
  const moved = reads.flatMap((bytes) => bytes.toSorted((a, b) => b - a).slice(1));
  return sum(made) + sum(reads.flat()) < sum(moved) + moved.length * MESSAGE_BYTES;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
