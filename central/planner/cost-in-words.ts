import type { PlanCost } from '../../shared/plan/compiled-plan.ts';

/** `1.5 MB out (4.0 times the input) and 165 kB back a frame, 3.2 times the work`; a factor of 1 is left out. */
export function costInWords({ bytesOut, bytesBack, work, input }: PlanCost): string {
  const twice = (factor: number): boolean => factor >= 1.05;
  const more = twice(input) ? ` (${input.toFixed(1)} times the input)` : '';
  const again = twice(work) ? `, ${work.toFixed(1)} times the work` : '';
  return `${bytesInWords(bytesOut)} out${more} and ${bytesInWords(bytesBack)} back a frame${again}`;
}

function bytesInWords(bytes: number): string {
  if (bytes < 999.5) return `${bytes} bytes`;
  const [value, unit] = bytes < 999_500 ? [bytes / 1000, 'kB'] : [bytes / 1e6, 'MB'];
  return `${Number(value.toPrecision(value < 100 ? 2 : 3))} ${unit}`;
}
