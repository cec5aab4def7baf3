import type { Plan } from './plan.ts';

/** Key order must not matter: objects are written with sorted keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
}

/** FNV-1a, 64 bits (draft-eastlake-fnv): enough to tell plans apart, not to protect them. */
function fnv1a(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text))
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return hash;
}

/** The id of a plan: `p-` and 12 hex digits of what it does (model, source and stages, not who proposed it or why). */
export function planId(plan: Pick<Plan, 'model' | 'source' | 'stages'>): string {
  const { model, source, stages } = plan;
  return `p-${fnv1a(canonical({ model, source, stages })).toString(16).padStart(16, '0').slice(0, 12)}`;
}
